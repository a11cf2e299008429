"""Read first by every Python process that has this folder on its PYTHONPATH: no GPU is to be seen.

Also where a launcher shows its ranks some of them, which it does after its own environment was made.
"""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["DS_ACCELERATOR"] = "cpu"
