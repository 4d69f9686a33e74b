"""Clips whose published annotation is known to be wrong, each with the reason and who reported it.

A true count of 0 (RepCount-A: stu9_67, train143) is no reason to be here: MAE alone cannot use such a clip.
"""

from __future__ import annotations

TRANSRAC = "github.com/SvipRepetitionCounting/TransRAC issue"

KNOWN_BAD: dict[str, str] = {
    # RepCount-A, test
    "stu4_5": f"the file is another video: a sit-up clip of 4, labelled bench pressing of 51 ({TRANSRAC} 16)",
    "stu1_27": f"reported as wrongly annotated ({TRANSRAC} 54)",
    "stu6_68": f"cycles of 3 frames in a video of 840, as if marked in seconds ({TRANSRAC} 57)",
    # RepCount-A, valid
    "stu1_34": "taken out of D2-STX's split",
    # RepCount-A, train
    "stu1_10": f"says 3, the video shows 9 ({TRANSRAC} 51)",
    "stu6_5": f"one of its 12 cycles has no frames ({TRANSRAC} 52)",
    "stu6_44": "no count and no cycles",
    "test118": "says 6, five cycles are marked",
    "stu4_3": "its first cycle has no frames; taken out of D2-STX's split",
    "stu4_39": "the video is jumbled; taken out of D2-STX's split",
    "stu13_4": "the person is hidden nearly throughout; taken out of D2-STX's split",
    # Countix, val
    "eovgxTEV-sE_0.00000_10.00000": "listed with the counts 2 and 3",
    "kc67o7DINtg_0.00000_9.95324": "listed with the counts 10 and 19",
}
