"""A symbol in pieces is the same symbol, in whatever order, cut and number they come."""

from __future__ import annotations

from random import Random

from ghost.constants import MAX_SYMBOL
from ghost.reliability.pieces import PieceJoiner, PieceSender

SYMBOL = Random(1).randbytes(MAX_SYMBOL)


def pieces(size: int, payload: bytes = SYMBOL) -> list[tuple[int, bytes, bool]]:
    """All pieces of a symbol, as a sender makes them."""
    sender = PieceSender()
    sender.resize(size)
    made = []
    while True:
        piece = sender.next_piece(7, payload)
        made.append(piece)
        if sender.on_sent(len(made), 7, piece[0]):
            return made


def test_all_of_a_symbol_leaves_once() -> None:
    made = pieces(500)
    assert [offset for offset, _, _ in made] == [0, 500, 1000]
    assert b"".join(piece for _, piece, _ in made) == SYMBOL
    assert [is_last for _, _, is_last in made] == [False, False, True]


def test_pieces_of_two_cuts_in_any_order_make_the_symbol() -> None:
    rng = Random(2)
    for _ in range(20):
        mixed = pieces(500) + pieces(800)[:1]
        rng.shuffle(mixed)
        joiner = PieceJoiner()
        joined = [joiner.add(7, offset, piece, is_last=last, floor=0) for offset, piece, last in mixed]
        assert SYMBOL in joined
        assert joined.count(None) >= 2


def test_a_lost_piece_goes_again_and_the_symbol_is_known_with_the_last_one() -> None:
    sender = PieceSender()
    sender.resize(800)
    for number in (1, 2):
        sender.on_sent(number, 7, sender.next_piece(7, SYMBOL)[0])
    assert sender.on_acked(2) is None
    assert sender.on_lost(1) == 7
    offset, _, is_last = sender.next_piece(7, SYMBOL)
    assert (offset, is_last) == (0, False)
    assert sender.on_sent(3, 7, offset)
    assert sender.on_acked(3) == 7


def test_another_size_begins_anew_and_says_what_was_cut() -> None:
    sender = PieceSender()
    sender.resize(800)
    sender.on_sent(1, 7, sender.next_piece(7, SYMBOL)[0])
    assert sender.resize(500) == [7]
    assert sender.on_acked(1) is None
    assert sender.on_lost(1) is None


def test_what_is_known_by_another_way_is_not_held() -> None:
    joiner = PieceJoiner()
    for symbol_id in range(100):
        assert joiner.add(symbol_id, 0, b"begin", is_last=False, floor=symbol_id) is None
    assert len(joiner) == 1
