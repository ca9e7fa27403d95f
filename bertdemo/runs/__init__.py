"""Training runs: kept on disk, queued, watched, stopped and resumed. Knows no web page, no chart and no terminal."""
