"""Vessels on a photograph that comes with scikit-image (a retina, CC0): python examples/retina.py RUN [OUT].

RUN is the folder of a run of `wnet train`; OUT (default: retina) gets the probabilities, the vessels and an overlay.
"""

import sys
from pathlib import Path

from skimage import data

from attention_wnet.evaluate import write_maps
from attention_wnet.pictures import field_of_view
from attention_wnet.segmenter import Segmenter

if len(sys.argv) not in (2, 3):
    sys.exit(__doc__)
segmenter = Segmenter.load(Path(sys.argv[1]))
photograph = data.retina()
view = field_of_view(photograph)
out = Path(sys.argv[2] if len(sys.argv) == 3 else "retina")
vessels = write_maps(out, "retina", photograph, segmenter.probabilities(photograph), view, segmenter.threshold)
print(f"{out}: {vessels[view].mean():.1%} of the field of view is vessel")
