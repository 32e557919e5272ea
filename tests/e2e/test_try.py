from tests.e2e.supervised import Supervised
import time, sys, pytest
@pytest.mark.timeout(300)
def test_try(four, nursery, tmp_path):
    scene = four.copy(tmp_path / "scene")
    t=time.monotonic()
    s = Supervised(scene, nursery)
    try:
        s.run()
    finally:
        print("took", time.monotonic()-t, tmp_path)
        print(sorted(p.name for p in s.notes("north").glob("*")))
        for e in scene.entries("north"): print(e.time, e.kind, e.body.get("round"))
