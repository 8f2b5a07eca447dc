"""What runs on the device: fetches packages from a channel, checks them three times over, switches in one step.

Two slots, one of them current. An update goes into the other slot, is checked there with the device's own interpreter, and
becomes current by one rename; whatever ends the agent, and whenever, `current` leads to a whole, checked model.
"""

from edgepack.agent.slots import Installed, Slots
from edgepack.agent.updating import Outcome, begin, update

__all__ = ["Installed", "Outcome", "Slots", "begin", "update"]
