"""What the lessons show, computed by the same engine that trains and predicts.

``experiments`` trains with and without a slip, ``masking_view`` draws a run's first batch, ``walkthrough`` goes from a
text to the loss and one step, ``notebook`` repeats a beginner's recipe, ``score_head`` fits a head on a frozen encoder.
"""
