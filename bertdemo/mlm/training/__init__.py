"""Training as a generator of events, what is said before it, and what is said after.

``loop`` trains by the masks of ``masking``, the batches of ``batching``, the plan of ``schedule``, and the ``step`` and
``optimizer``, on one process or several (``distributed``), and tells ``events``; ``probes`` and ``evaluation`` watch.
``estimate`` says what a run will take, ``report`` what it changed; ``pretraining`` begins from text files alone.
"""
