"""Generated from sale.schema.json by `arq reducer types`: change that and run it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, cast, overload

from arqon.reducers import Called, Value, ValuesChanged, reduced, watch
from arqon.room import Room

if TYPE_CHECKING:
    from typing_extensions import Self


class Lot(TypedDict):
    """The lot as all see it."""

    lot: int
    state: Literal["open", "sold", "unsold", None]
    title: str | None
    seller: str | None
    price: int
    bidder: str | None
    closes_ms: int


class OfferData(TypedDict):
    """An object."""

    title: str
    price: int
    """The least price."""
    seconds: int


class BidData(TypedDict):
    """An object."""

    amount: int


State: TypeAlias = 'Literal["open", "sold", "unsold"]'


class Sale(Protocol):
    """One lot after another. A bid in the last five seconds leaves five more."""

    id: str

    @overload
    async def call(
        self,
        command: Literal["offer"],
        data: OfferData,
        *,
        call_id: str | None = None,
        timeout_ms: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Called[None]:
        """Offers a lot, when none is open."""
        ...

    @overload
    async def call(
        self,
        command: Literal["bid"],
        data: BidData,
        *,
        call_id: str | None = None,
        timeout_ms: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Called[None]:
        """Bids more than the highest bid; the first one at least the least price."""
        ...

    @overload
    async def call(
        self,
        command: Literal["look"],
        data: None = None,
        *,
        call_id: str | None = None,
        timeout_ms: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Called[Lot]:
        """Calls the command."""
        ...


class SaleValues(Protocol):
    """The live visible values."""

    version: int
    is_current: bool

    @overload
    def read(self, key: Literal["state"]) -> State | None: ...

    @overload
    def read(self, key: Literal["title"]) -> str | None: ...

    @overload
    def read(self, key: Literal["seller"]) -> str | None: ...

    @overload
    def read(self, key: Literal["bidder"]) -> str | None: ...

    @overload
    def read(self, key: str) -> Value | None: ...

    @overload
    def json(self, key: Literal["lot"]) -> int | None: ...

    @overload
    def json(self, key: Literal["price"]) -> int | None: ...

    @overload
    def json(self, key: Literal["closes_ms"]) -> int | None: ...

    @overload
    def json(self, key: str) -> Any | None: ...

    def entries(self) -> list[tuple[str, Value]]: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *ended: object) -> None: ...

    def __aiter__(self) -> AsyncIterator[ValuesChanged]: ...


def sale(room: Room) -> Sale:
    """The room, with its commands."""
    return cast("Sale", reduced(room))


def sale_values(room: Room, prefix: str = "") -> SaleValues:
    """The visible values below a prefix."""
    return cast("SaleValues", watch(room, prefix))
