"""What an answer to rows that were sent tells, whoever gives it."""

from dataclasses import dataclass

from caspio_sync.wire.http import RateLimit


@dataclass(frozen=True, slots=True)
class ObjectError:
    """An object that an accepted request left out.

    Args:
        index: position in its input array; None where the entry names none that can be used.
        input_array: name of the array; None where the entry does not say.
        type: the vendor's code or sentence, values masked.
    """

    index: int | None
    input_array: str | None
    type: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A 2xx to a write: queued, apart from the objects in `errors`; what fails later may be told nowhere.

    Args:
        status: HTTP status.
        errors: objects that were left out.
        rate: the answer's rate window.
        doubt: why the answer is not known to be the vendor's; then nothing is known of any object. "" for its own.
        unsettled: why nothing is known of any object though the answer is the vendor's own: it took them for later, and
            never told what became of them. "" where it did.
        notes: what a person should know of it besides, without values; alike for all whom it is about.
        ids: index of an object, and the id that the vendor has it under, "" where it is not there any more; of those
            whose id is to be known.
        marks: index of an object, a name, and by what the vendor's record of that name is known again, as it stood once
            we had written it; "" where nothing is to be known of it any more.
        lost: whether there was no answer at all, or one that leaves open what became of the request.
    """

    status: int
    errors: tuple[ObjectError, ...]
    rate: RateLimit
    doubt: str = ""
    unsettled: str = ""
    notes: tuple[str, ...] = ()
    ids: tuple[tuple[int, str], ...] = ()
    marks: tuple[tuple[int, str, str], ...] = ()
    lost: bool = False
