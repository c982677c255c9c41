"""Which models cannot be calibrated, before anything is measured."""

import pytest
from images_api_server import noise, png

from memex_audit.calibrating import calibrate_model
from memex_audit.config import Settings
from memex_audit.errors import CalibrationError
from memex_audit.workbench import Workbench


def test_a_folder_without_the_negative_prompts_is_not_calibrated_on_pictures_that_are_not_there(tmp_path):
    (tmp_path / "1.png").write_bytes(png(noise(1)))
    (tmp_path / "manifest.csv").write_text("prompt,file\na cat,1.png\n")
    (tmp_path / "negatives.txt").write_text("".join(f"thing number {number}\n" for number in range(60)))
    bench = Workbench(Settings(model=f"folder:{tmp_path}", store=str(tmp_path / "store")), tmp_path)
    with pytest.raises(CalibrationError, match=r"must hold 32 pictures of each negative prompt .* 60 of 60;"):
        calibrate_model(bench, tmp_path / "negatives.txt", 0.05, None)
