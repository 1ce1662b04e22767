"""Mazes: every route walks from start to goal, and what users draw is checked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tide.data.drawn.mazes import (
    END,
    FREE,
    GOAL,
    START,
    WALL,
    check_maze,
    draw_mazes,
    place_of,
    shortest_route,
    walk,
)

few = settings(max_examples=10, deadline=None)
LETTERS = {"#": WALL, ".": FREE, "S": START, "G": GOAL}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn_as(*rows: str) -> torch.Tensor:
    """Return the image (3, H, W) of a maze in letters."""
    return torch.tensor([[LETTERS[letter] for letter in row] for row in rows], dtype=torch.uint8).permute(2, 0, 1)


def slow_walk(maze: torch.Tensor, moves: list[int]) -> list[tuple[int, int]]:
    """Return the places that moves lead to, one by one, up to the first ``end`` or wall."""
    steps = {0: (-1, 0), 1: (1, 0), 2: (0, -1), 3: (0, 1)}
    places = [tuple(place_of(maze[None], START)[0].tolist())]
    for move in moves:
        if move == END:
            break
        row, column = places[-1][0] + steps[move][0], places[-1][1] + steps[move][1]
        if not (0 <= row < maze.shape[1] and 0 <= column < maze.shape[2]) or int(maze[:, row, column].max()) == 0:
            break
        places.append((row, column))
    return places


@few
@given(st.sampled_from([5, 7, 9, 15]), st.integers(0, 10**6))
def test_every_route_walks_from_start_to_goal_over_free_places_and_never_twice(size, seed):
    mazes, routes = draw_mazes(6, size, size**2, generator(seed))
    assert mazes.dtype == torch.uint8
    assert mazes.shape == (6, 3, size, size)
    assert routes.shape == (6, size**2)
    for maze, route in zip(mazes, routes.tolist(), strict=True):
        start, goal = check_maze(maze)
        length = route.index(END)
        assert set(route[length:]) == {END}
        places = slow_walk(maze, route)
        assert len(places) == length + 1 > 1
        assert (places[0], places[-1]) == (start, goal)
        assert len(set(places)) == len(places)
        assert shortest_route(maze) == route[:length]


@few
@given(st.sampled_from([5, 9, 21]), st.integers(0, 10**6))
def test_a_maze_is_perfect(size, seed):
    """All cells are joined and nothing else is: a tree of n² cells has n² − 1 ways between them."""
    mazes, _ = draw_mazes(3, size, 1, generator(seed))
    free = mazes.amax(1) > 0
    cells = ((size - 1) // 2) ** 2
    assert (free.flatten(1).sum(1) == 2 * cells - 1).all()
    for maze in free:
        assert bool(maze[1::2, 1::2].all())
        assert not bool(maze[0::2, 0::2].any())
        reached = torch.zeros_like(maze)
        reached[1, 1] = True
        for _ in range(2 * cells):
            spread = reached.clone()
            for axis in (0, 1):
                spread |= reached.roll(1, axis) | reached.roll(-1, axis)
            reached = spread & maze
        assert torch.equal(reached, maze)


def test_a_route_that_is_too_long_is_cut_and_routes_are_as_long_as_known():
    long, short = (draw_mazes(1500, 9, route, generator(3)) for route in (60, 4))
    assert torch.equal(long[0], short[0])
    assert torch.equal(long[1][:, :4], short[1])
    lengths = (long[1] != END).sum(1)
    assert int(lengths.median()) == 10
    assert int((short[1] != END).sum(1).max()) == 4


def test_the_generator_alone_decides_and_more_mazes_start_with_the_same():
    before = torch.get_rng_state()
    first, again, more = (draw_mazes(count, 9, 20, generator(1)) for count in (512, 512, 600))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert all(torch.equal(one, two[:512]) for one, two in zip(first, more, strict=True))
    assert not torch.equal(first[0], draw_mazes(512, 9, 20, generator(2))[0])
    assert len(first[0].unique(dim=0)) > 500


def test_mazes_come_in_every_orientation_alike():
    # The reference turns and mirrors a fixed set of mazes for training; fresh ones need it as little as this holds.
    walls = (draw_mazes(2000, 9, 30, generator(3))[0].amax(1) == 0).double()
    share, images = walls.mean(0), [walls.rot90(k, (1, 2)).mean(0) for k in (1, 2, 3)]
    spread = (2 * share * (1 - share) / len(walls)).sqrt().clamp(min=1e-9)
    for image in (*images, walls.flip(1).mean(0), walls.flip(2).mean(0)):
        assert float(((image - share) / spread).abs().max()) < 4.5


@few
@given(st.integers(0, 10**6))
def test_walking_equals_a_slow_walk_and_goes_on_where_it_ended(seed):
    mazes, routes = draw_mazes(8, 9, 30, generator(seed))
    wild = torch.randint(5, (8, 12), generator=generator(seed))
    wild = torch.where(torch.arange(12) < torch.arange(8)[:, None], routes[:, :12], wild)
    found = walk(mazes, wild)
    for k in range(8):
        places = slow_walk(mazes[k], wild[k].tolist())
        assert int(found.taken[k]) == len(places) - 1
        assert [tuple(place) for place in found.places[k].tolist()] == places + [places[-1]] * (13 - len(places))
    assert torch.equal(found.arrived, (found.places[:, -1] == place_of(mazes, GOAL)).all(1))


SOLVABLE = ("#####", "#S.G#", "#####")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (("####", "#.G#", "####"), ("exactly one start pixel, got 0",)),
        (("#####", "#SGG#", "#####"), ("exactly one goal pixel, got 2",)),
        (("#####", "#S#G#", "#####"), ("way from start to goal, got none from (1, 1) to (1, 3)",)),
    ],
)
def test_a_maze_that_cannot_be_walked_is_refused_in_one_line(rows, told, refuses):
    with refuses(*told):
        shortest_route(drawn_as(*rows))


def test_an_image_that_is_no_maze_is_refused_in_one_line(refuses):
    maze = drawn_as(*SOLVABLE)
    assert shortest_route(maze) == [3, 3]
    with refuses("float32", "uint8"):
        check_maze(maze.float())
    with refuses("shape (1, 3, 3, 5)", "(3, H, W)"):
        check_maze(maze[None])
    maze[:, 1, 2] = 254
    with refuses("pixel (1, 2) must be", "white (free)", "got (254, 254, 254)"):
        check_maze(maze)
    for size, told in ((8, ("size must be odd, got 8",)), (3, ("size must be at least 5, got 3",))):
        with refuses(*told):
            draw_mazes(1, size, 4, generator(0))
