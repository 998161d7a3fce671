"""This package converts an audio cell of a dataset to MP3; it knows neither the Hub nor the state."""

from hugflow.audio.cells import audio_name
from hugflow.audio.convert import to_mp3
from hugflow.audio.encode import Mp3
from hugflow.audio.reasons import AudioReason

__all__ = ["AudioReason", "Mp3", "audio_name", "to_mp3"]
