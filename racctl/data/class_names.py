"""One vocabulary of exercise labels: snake_case, singular, the spellings of all data sets merged."""

from __future__ import annotations

import re

from racctl.contracts import BACKGROUND

# Keys have no separators and no case. RepCount-A alone has 16 spellings for 10 exercises ('squant' is its typo).
EXERCISE_ALIASES = {
    "squant": "squat",
    "squats": "squat",
    "bodyweightsquat": "squat",
    "bodyweightsquats": "squat",
    "pullup": "pull_up",
    "pullups": "pull_up",
    "pushup": "push_up",
    "pushups": "push_up",
    "situp": "sit_up",
    "situps": "sit_up",
    "frontraise": "front_raise",
    "frontraises": "front_raise",
    "benchpressing": "bench_pressing",
    "benchpress": "bench_pressing",
    "jumpjack": "jump_jack",
    "jumpjacks": "jump_jack",
    "jumpingjack": "jump_jack",
    "jumpingjacks": "jump_jack",
    "pommelhorse": "pommel_horse",
    "battlerope": "battle_rope",
    "battleropetraining": "battle_rope",
    "handstandpushups": "handstand_push_up",
    "lunges": "lunge",
    "other": "others",
    "mountainclimberexercise": "mountain_climber",
    "ropepushdown": "rope_pushdown",
    "ropeskipping": "jump_rope",
    "skippingrope": "jump_rope",
    "jumprope": "jump_rope",
    "bicepcurls": "bicep_curl",
    "tricepextensions": "tricep_extension",
    "dumbbellrows": "dumbbell_row",
    "nonactivity": BACKGROUND,
    "noactivity": BACKGROUND,
    "null": BACKGROUND,
    "idle": BACKGROUND,
    "rest": BACKGROUND,
    "dumbbellshoulderpress": "dumbbell_shoulder_press",
    "lateralshoulderraises": "lateral_shoulder_raise",
}


def exercise(label: str) -> str:
    """Return the label in racctl's vocabulary: 'Front Raise', 'frontraise' and 'front_raise' are one.

    Unknown labels come back in snake_case, "" stays "".
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", label.strip())
    snake = re.sub(r"[\W_]+", "_", spaced).strip("_").lower()
    return EXERCISE_ALIASES.get(snake.replace("_", ""), snake)
