"""Who may run: slots of the account, of reservations and of provisioned environments. Pure.

The order of `functions-and-invocation.md` 9: a free provisioned environment of the version, then
what the function has reserved, or, without a reservation, what nobody has reserved. Each is a pot
of its own with its own queue, so that who waits for one never holds up who waits for another.

Reservations can be more than the limit allows: it was lowered, or a template asks for more than
this machine has. Then all of them are maxima, and the limit goes round the pots.
"""

from typing import Protocol

from router.dispatch.pot import Claim, Pot
from router.model.concurrency import ACCOUNT_LIMIT, RESERVED_LIMIT, Allotment, Allotments

NOTHING = Allotment()


class Share:
    """One function's part: where its invocations take their slots."""

    __slots__ = ("function", "on_demand", "ready", "running")

    def __init__(self, function: str, on_demand: "Pot[Turn]") -> None:
        self.function = function
        self.on_demand = on_demand
        """Its reservation, or what nobody has reserved."""
        self.ready: dict[str, Pot[Turn]] | None = None
        """Version → its provisioned environments."""
        self.running = 0
        """Its invocations on demand."""


class Turn(Claim, Protocol):
    """One invocation that waits."""

    share: Share
    version: str

    def give(self, pot: "Pot[Turn]") -> None:
        """It has a slot of `pot`."""


class Ledger:
    """Every slot there is, and who has it. At most `limit` at a time (L1)."""

    def __init__(self, limit: int, unreserved_min: int = 0) -> None:
        """`unreserved_min`: what functions without a reservation have at least."""
        if limit < 1:
            raise ValueError("the concurrency limit must be at least 1")
        self.limit = limit
        self.running = 0
        self.claimed = 0
        """Of reservations and provisioned environments together."""
        self.common: Pot[Turn] = Pot(limit, ACCOUNT_LIMIT)
        self._unreserved_min = unreserved_min
        self._shares: dict[str, Share] = {}
        self._homes: dict[str, Pot[Turn]] = {}
        """Claimants that asked last for slots of a reservation, and which one."""
        self._is_held_up = False
        """Somebody waits in a pot that has slots, because the limit is reached."""

    def share_of(self, function: str) -> Share:
        """A function's part."""
        share = self._shares.get(function)
        if share is None:
            share = self._shares[function] = Share(function, self.common)
        return share

    def shares(self) -> list[Share]:
        """Every function that has run, or was given something."""
        return list(self._shares.values())

    def register(self, claimant: str) -> None:
        """A claimant that may ask for slots."""
        self.common.register(claimant)

    def unregister(self, claimant: str) -> None:
        """A claimant that will not ask again."""
        self.common.unregister(claimant)
        if (home := self._homes.pop(claimant, None)) is not None:
            home.unregister(claimant)

    # Slots

    def take(self, share: Share, version: str, claimant: str) -> "Pot[Turn] | None":
        """A slot for one that does not wait: any that is free. None: none is."""
        if self.running >= self.limit:
            return None
        pot = self._free_ready(share, version) if share.ready is not None else None
        if pot is None:
            pot = share.on_demand
            if pot.used >= pot.size:
                return None
            share.running += 1
        pot.take(claimant)
        self.running += 1
        return pot

    def take_fairly(self, share: Share, version: str, claimant: str) -> "Pot[Turn] | None":
        """A slot for one that would wait. None: it is not its turn."""
        if self.running >= self.limit:
            return None
        pot = self._free_ready(share, version) if share.ready is not None else None
        if pot is None:
            pot = share.on_demand
            if pot is not self._homes.get(claimant, self.common):
                self._settle_in(claimant, pot)
            if pot.waiting.turns or not pot.may_take(claimant):
                return None
            share.running += 1
        pot.take(claimant)
        self.running += 1
        return pot

    def release(self, share: Share, pot: "Pot[Turn]", claimant: str) -> None:
        """An invocation is over; whoever waits for what is free now has it."""
        self.running -= 1
        pot.leave(claimant)
        if not pot.is_ready:
            share.running -= 1
            pot = share.on_demand  # it may have been given or have lost a reservation meanwhile
        pot.used -= 1
        if self._is_held_up:
            self._grant_all(pot)
        elif pot.waiting.turns:
            self._grant(pot)

    def wait(self, turn: Turn) -> None:
        """Wait for the first slot the turn may have."""
        share = turn.share
        share.on_demand.wait(turn)
        if share.ready is not None and (ready := share.ready.get(turn.version)) is not None:
            ready.wait(turn)
            self._grant(ready)
        self._grant(share.on_demand)

    def forget(self, turn: Turn) -> None:
        """A turn that is waited for no more, with or without a slot."""
        share = turn.share
        share.on_demand.forget(turn)
        for pot in (share.ready or {}).values():
            pot.forget(turn)

    def reason(self, share: Share) -> str:
        """What a caller hears that gets no slot (`functions-and-invocation.md` 6.4)."""
        pot = share.on_demand
        return pot.reason if pot.used >= pot.size else ACCOUNT_LIMIT

    # What functions were given

    def allot(self, allotments: Allotments) -> None:
        """Give functions this and nothing else. What runs goes on, and counts where it belongs."""
        self.claimed = sum(allotment.claimed for allotment in allotments.values())
        self.common.size = max(self._unreserved_min, self.limit - self.claimed)
        waiting = self._turns()
        for name in {*self._shares, *allotments}:
            share, turns = self.share_of(name), waiting.get(name, [])
            self._allot(share, allotments.get(name, NOTHING), turns)
            if name not in allotments and not share.running and not turns:
                del self._shares[name]  # nobody knows it any more
        self._grant_all(self.common)

    def set_ready(self, function: str, version: str, count: int) -> None:
        """So many provisioned environments of a version are ready, busy ones among them."""
        share = self._shares.get(function)
        pot = share.ready.get(version) if share is not None and share.ready is not None else None
        if pot is not None:
            pot.size = count
            self._grant(pot)

    def used_ready(self, function: str, version: str) -> int:
        """Provisioned environments of a version that run something."""
        share = self._shares.get(function)
        pot = share.ready.get(version) if share is not None and share.ready is not None else None
        return 0 if pot is None else pot.used

    def _allot(self, share: Share, allotment: Allotment, waiting: list[Turn]) -> None:
        old = share.on_demand
        for turn in waiting:
            self.forget(turn)
        if allotment.reserved is None:
            share.on_demand = self.common
        else:
            if old is self.common:
                share.on_demand = Pot(0, RESERVED_LIMIT)
            share.on_demand.size = max(0, allotment.reserved - allotment.ready)
        old.used -= share.running
        share.on_demand.used += share.running
        ready = share.ready or {}
        share.ready = {
            version: ready.get(version) or Pot(0, "", is_ready=True)
            for version in allotment.provisioned
        } or None
        for turn in waiting:
            share.on_demand.wait(turn)
            if share.ready is not None and turn.version in share.ready:
                share.ready[turn.version].wait(turn)

    def _turns(self) -> dict[str, list[Turn]]:
        """Who waits, by function."""
        found: dict[str, list[Turn]] = {}
        for pot in {id(pot): pot for pot in self._on_demand()}.values():
            for _, turn in pot.waiting:
                if not turn.done():
                    found.setdefault(turn.share.function, []).append(turn)
        return found

    def _on_demand(self) -> list["Pot[Turn]"]:
        return [self.common, *(share.on_demand for share in self._shares.values())]

    def _settle_in(self, claimant: str, pot: "Pot[Turn]") -> None:
        """It asks elsewhere than before: no slot is kept for it there any more."""
        self._homes.pop(claimant, self.common).unregister(claimant)
        if pot is not self.common:
            self._homes[claimant] = pot
        pot.register(claimant)

    def _free_ready(self, share: Share, version: str) -> "Pot[Turn] | None":
        pot = share.ready.get(version) if share.ready is not None else None
        return pot if pot is not None and pot.used < pot.size else None

    def _grant(self, pot: "Pot[Turn]") -> None:
        while self.running < self.limit:
            if (turn := pot.next_turn()) is None:
                return
            self._give(pot, turn)
        self._is_held_up |= bool(pot.waiting) and pot.used < pot.size

    def _give(self, pot: "Pot[Turn]", turn: Turn) -> None:
        pot.take(turn.claimant)
        self.running += 1
        if not pot.is_ready:
            turn.share.running += 1
        turn.give(pot)

    def _grant_all(self, last: "Pot[Turn]") -> None:
        """One slot to each pot in turn; the one that has just had one comes last."""
        pots = {id(self.common): self.common}
        for share in self._shares.values():
            for pot in (share.on_demand, *(share.ready or {}).values()):
                pots[id(pot)] = pot
        if id(last) in pots:
            pots[id(last)] = pots.pop(id(last))
        waiting = [pot for pot in pots.values() if pot.waiting]
        while waiting and self.running < self.limit:
            for pot in list(waiting):
                turn = pot.next_turn() if self.running < self.limit else None
                if turn is not None:
                    self._give(pot, turn)
                elif self.running < self.limit:
                    waiting.remove(pot)
        self._is_held_up = any(pot.waiting and pot.used < pot.size for pot in waiting)
