"""Where the figures of a training go while it runs, beside the archive."""

from supsup.logs.base import TrainingLog
from supsup.logs.csv_file import CsvLog
from supsup.logs.several import Logs
from supsup.logs.tensorboard import TensorBoardLog

__all__ = ["CsvLog", "Logs", "TensorBoardLog", "TrainingLog"]
