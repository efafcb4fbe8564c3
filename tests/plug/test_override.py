"""A method of one object replaced, and put back."""

import copy

import pytest

from corrlight.plug.override import Override


class Thing:
    def __init__(self, base):
        self.base = base

    def double(self, x):
        return self.base + 2 * x


def test_one_object_alone_is_changed():
    one, other = Thing(1), Thing(1)
    override = Override(one, "double", lambda x: -override.original(x))
    assert (one.double(3), other.double(3)) == (-7, 7)
    override.remove()
    assert one.double(3) == 7
    assert "double" not in vars(one)


def test_an_earlier_replacement_comes_back():
    thing = Thing(1)
    thing.double = earlier = lambda x: 100 + x
    override = Override(thing, "double", lambda x: override.original(x) + 1)
    assert thing.double(1) == 102
    override.remove()
    assert thing.double is earlier


def test_a_later_replacement_is_not_lost():
    thing = Thing(1)
    override = Override(thing, "double", lambda x: 0)
    thing.double = lambda x: 5
    with pytest.raises(ValueError, match=r"^Expected `Thing\.double` to be as the loss left it"):
        override.remove()
    assert thing.double(1) == 5


class Owner:
    """Replaces a method of its thing by one of its own, as the seams do."""

    def __init__(self, base):
        self.thing = Thing(base)
        self.override = Override(self.thing, "double", self.shifted)
        self.shift = 10

    def shifted(self, x):
        return self.override.original(x) + self.shift


def test_a_copy_has_its_own():
    first = Owner(1)
    second = copy.deepcopy(first)
    second.thing.base, second.shift = 2, 20
    assert (first.thing.double(0), second.thing.double(0)) == (11, 22)
    second.override.remove()
    assert (first.thing.double(0), second.thing.double(0)) == (11, 2)
