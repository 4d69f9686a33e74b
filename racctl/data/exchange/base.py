"""Which annotation formats there are."""

from __future__ import annotations

from racctl.kinds import Kind

ANNOTATION_FORMATS = Kind(
    "annotation format",
    "racctl.annotation_formats",
    {
        "vtt": "racctl.data.exchange.captions:VTT",
        "srt": "racctl.data.exchange.captions:SRT",
        "eaf": "racctl.data.exchange.elan:EAF",
        "activitynet": "racctl.data.exchange.activitynet:ACTIVITYNET",
        "via": "racctl.data.exchange.via:VIA",
        "label-studio": "racctl.data.exchange.label_studio:LABEL_STUDIO",
        "repcount": "racctl.data.exchange.count_tables:REPCOUNT",
        "countix": "racctl.data.exchange.count_tables:COUNTIX",
    },
)
