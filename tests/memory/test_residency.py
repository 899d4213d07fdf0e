"""The pool: one load for many, nobody evicted under a lease, nothing left over."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.contracts.errors import BrokenModel, JobCancelled
from modules.memory.residency import ModelPool


class Model:
    """A value with a size that knows whether it was disposed of."""

    def __init__(self, key, size=10):
        self.key, self.size, self.disposed = key, size, 0


def pool_of(budget=100, limit=100, disposed=None):
    def dispose(model):
        model.disposed += 1
        if disposed is not None:
            disposed.append(model.key)

    return ModelPool(budget=budget, limit=limit, size_of=lambda model: model.size, dispose=dispose)


def use(pool, key, size=10):
    with pool.lease(key, lambda: Model(key, size)) as model:
        assert model.disposed == 0
        return model


def keys(pool):
    return [row.key for row in pool.resident()]


def test_a_value_stays_and_is_loaded_once():
    pool = pool_of()
    first = use(pool, "a")
    assert use(pool, "a") is first
    assert pool.resident()[0].bytes == 10


def test_the_least_recently_used_leaves_first():
    disposed = []
    pool = pool_of(budget=30, disposed=disposed)
    for key in "abc":
        use(pool, key)
    use(pool, "a")
    use(pool, "d")
    assert disposed == ["b"]
    assert keys(pool) == ["c", "a", "d"]


def test_the_number_of_values_is_limited_too():
    pool = pool_of(limit=2)
    for key in "abc":
        use(pool, key)
    assert keys(pool) == ["b", "c"]


def test_a_leased_value_is_never_evicted_and_the_excess_goes_when_the_lease_ends():
    pool = pool_of(budget=10)
    with pool.lease("a", lambda: Model("a")) as held:
        other = use(pool, "b")
        assert held.disposed == 0
        assert other.disposed == 1
    assert keys(pool) == ["a"]


def test_over_budget_with_everything_leased_still_loads():
    pool = pool_of(budget=10)
    with pool.lease("a", lambda: Model("a")), pool.lease("b", lambda: Model("b")):
        assert pool.bytes == 20
    assert pool.bytes == 10


def test_a_value_larger_than_the_budget_is_lent_and_then_let_go():
    pool = pool_of(budget=5)
    model = use(pool, "a")
    assert model.disposed == 1
    assert keys(pool) == []


def test_room_is_made_before_loading_when_the_size_is_known():
    disposed = []
    pool = pool_of(budget=30, disposed=disposed)
    for key in "abc":
        use(pool, key)

    def load():
        assert disposed == ["a", "b"]
        return Model("d", 20)

    with pool.lease("d", load, expected=20):
        pass


def test_room_for_one_more_is_made_before_loading():
    disposed = []
    pool = pool_of(limit=1, disposed=disposed)
    use(pool, "a")

    def load():
        assert disposed == ["a"]
        return Model("b")

    with pool.lease("b", load):
        pass


def test_the_budget_may_change_under_way():
    room = [100]
    pool = pool_of(budget=lambda: room[0])
    for key in "abc":
        use(pool, key)
    room[0] = 10
    assert pool.trim() == 2
    assert keys(pool) == ["c"]


def test_a_failed_load_leaves_nothing_and_may_be_tried_again():
    pool = pool_of()

    def fail():
        raise BrokenModel("truncated")

    with pytest.raises(BrokenModel), pool.lease("a", fail):
        pass
    assert keys(pool) == []
    assert use(pool, "a").key == "a"


def test_a_value_whose_size_cannot_be_told_counts_as_not_loaded():
    pool = ModelPool(budget=100, limit=9, size_of=lambda value: value.nonsense, dispose=lambda value: None)
    with pytest.raises(AttributeError), pool.lease("a", lambda: Model("a")):
        pass
    assert pool.resident() == ()


def test_loading_itself_is_an_error_and_no_deadlock():
    pool = pool_of()

    def load():
        with pool.lease("a", lambda: Model("a")) as model:
            return model

    with pytest.raises(RuntimeError, match="leased itself"), pool.lease("a", load):
        pass


def test_a_load_may_lease_another_key():
    pool = pool_of()

    def load():
        use(pool, "b")
        return Model("a")

    with pool.lease("a", load):
        assert set(keys(pool)) == {"a", "b"}


def test_a_leased_value_told_to_go_is_disposed_of_after_its_last_lease_and_loaded_anew():
    pool = pool_of()
    with pool.lease("a", lambda: Model("a")) as old:
        assert pool.evict("a")
        with pool.lease("a", lambda: Model("a")) as new:
            assert new is not old
        assert old.disposed == 0
    assert old.disposed == 1
    assert new.disposed == 0
    assert not pool.evict("nothing")


def test_all_can_be_told_to_go():
    disposed = []
    pool = pool_of(disposed=disposed)
    use(pool, "a")
    with pool.lease("b", lambda: Model("b")):
        assert pool.evict_all() == 2
        assert disposed == ["a"]
    assert disposed == ["a", "b"]
    assert pool.bytes == 0


def test_one_value_that_cannot_be_disposed_of_does_not_keep_the_others():
    gone = []

    def dispose(model):
        gone.append(model.key)
        if model.key == "a":
            raise OSError("cannot unmap")

    pool = ModelPool(budget=100, limit=9, size_of=lambda model: model.size, dispose=dispose)
    for key in "abc":
        use(pool, key)
    with pytest.raises(OSError, match="unmap"):
        pool.evict_all()
    assert sorted(gone) == ["a", "b", "c"]
    assert pool.resident() == ()


def start_loading(pool, outcome):
    """A thread that stands inside its load of "a" until told; returns it with the two events and its errors."""
    inside, go, errors = threading.Event(), threading.Event(), []

    def load():
        inside.set()
        assert go.wait(10)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def run():
        try:
            with pool.lease("a", load):
                pass
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert inside.wait(10)
    return thread, go, errors


def waiters(pool, count, load):
    """Threads that want "a" too, and are counted as holding a lease of it before this returns."""
    got, errors = [], []

    def run():
        try:
            with pool.lease("a", load) as value:
                got.append(value)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in range(1000):
        if pool.resident()[0].leases == count + 1:
            break
        threading.Event().wait(0.005)
    assert pool.resident()[0].leases == count + 1
    return threads, got, errors


def test_concurrent_leases_of_one_key_load_once():
    pool, model = pool_of(), Model("a")
    first, go, _ = start_loading(pool, model)
    assert pool.resident()[0].loading

    def never():
        raise AssertionError("loaded twice")

    threads, got, errors = waiters(pool, 4, never)
    go.set()
    for thread in (first, *threads):
        thread.join(10)
    assert got == [model] * 4
    assert errors == []


def test_those_who_wait_get_the_loaders_error():
    pool = pool_of()
    first, go, own = start_loading(pool, BrokenModel("truncated"))
    threads, got, errors = waiters(pool, 3, lambda: Model("a"))
    go.set()
    for thread in (first, *threads):
        thread.join(10)
    assert [error.message for error in own + errors] == ["truncated"] * 4
    assert got == []
    assert pool.resident() == ()


def test_a_cancelled_loader_hands_the_load_to_the_next():
    pool, loads = pool_of(), []
    first, go, own = start_loading(pool, JobCancelled("job 1 was cancelled"))

    def load():
        loads.append(1)
        return Model("a")

    threads, got, errors = waiters(pool, 3, load)
    go.set()
    for thread in (first, *threads):
        thread.join(10)
    assert isinstance(own[0], JobCancelled)
    assert errors == []
    assert loads == [1]
    assert len(got) == 3


def test_many_threads_with_few_places_never_see_a_disposed_value():
    pool = pool_of(budget=25, limit=3)

    def work(number):
        seen = 0
        for turn in range(60):
            key = (number * 7 + turn * 3) % 6
            with pool.lease(key, lambda key=key: Model(key)) as model:
                assert model.key == key
                assert model.disposed == 0
                seen += 1
        return seen

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(work, range(8))) == 480
    assert pool.bytes <= 25
    assert all(row.leases == 0 for row in pool.resident())


def test_fifty_switches_leave_memory_where_it_was():
    import torch

    pool = ModelPool(
        budget=2 * 4096,
        limit=2,
        size_of=lambda model: sum(tensor.numel() * tensor.element_size() for tensor in model.parameters()),
    )
    alive = []

    def load():
        model = torch.nn.Linear(32, 31)
        alive.append(weakref.ref(model))
        return model

    for turn in range(50):
        with pool.lease(turn % 5, load) as model:
            model(torch.zeros(1, 32)).sum().backward()
        del model
    gc.collect()
    assert len(alive) == 50
    assert sum(reference() is not None for reference in alive) == 2
    assert pool.bytes == 2 * 4 * (32 * 31 + 31)


STEPS = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["open", "close", "use", "evict"])), max_size=40)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, budget=st.integers(0, 60), limit=st.integers(1, 4), sizes=st.lists(st.integers(1, 30), min_size=5))
def test_whatever_is_leased_is_whole_and_the_rest_keeps_to_the_bounds(steps, budget, limit, sizes):
    pool = pool_of(budget=budget, limit=limit)
    size = dict(zip("abcde", sizes, strict=False))
    held = []
    for key, action in steps:
        if action == "open":
            lease = pool.lease(key, lambda key=key: Model(key, size[key]))
            held.append((lease, lease.__enter__()))
        elif action == "close" and held:
            held.pop(0)[0].__exit__(None, None, None)
        elif action == "use":
            use(pool, key, size[key])
        elif action == "evict":
            pool.evict(key)
        assert all(model.disposed == 0 for _, model in held)
        rows = pool.resident()
        if not any(row.leases for row in rows):
            assert sum(row.bytes for row in rows) <= budget
            assert len(rows) <= limit
    for lease, model in held:
        lease.__exit__(None, None, None)
        assert model.disposed <= 1
    pool.evict_all()
    assert pool.bytes == 0
    assert all(model.disposed == 1 for _, model in held)
