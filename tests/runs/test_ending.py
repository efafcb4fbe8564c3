import signal

import pytest

from corrlight.runs import ending


@pytest.mark.parametrize("signum", ending.STOP_SIGNALS)
def test_a_stop_is_known_by_its_code(signum):
    assert ending.is_stop(ending.stop_code(signum))
    assert not ending.is_stop(-signum)


def test_codes_are_those_of_a_shell():
    codes = sorted(map(ending.stop_code, ending.STOP_SIGNALS))
    assert codes == [129, 130, 138, 140, 143]  # SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGTERM


@pytest.mark.parametrize("code", [0, ending.BAD_INPUT, ending.FAILED, 137, 139, 3])
def test_other_ends_are_no_stop(code):
    assert not ending.is_stop(code)


def test_every_signal_has_a_name():
    names = [ending.signal_name(number) for number in range(1, signal.NSIG)]
    assert ending.signal_name(signal.SIGKILL) == "SIGKILL"
    assert ending.signal_name(signal.SIGRTMIN + 3) == "SIGRTMIN+3"
    assert len(set(names)) == len(names)
