"""`python -m benchmarks.speed.cut serve`: `manage.py serve` that cuts a translation when it is as long as its source.

A model of random weights never ends by itself, and servers' clients can't say how long a translation may be.
"""

import manage
from inference.engines import seq2seq

if __name__ == "__main__":
    seq2seq.OUTPUT_TOKENS_PER_SOURCE_TOKEN, seq2seq.OUTPUT_TOKENS_SPARE = 1, 0
    manage.main()
