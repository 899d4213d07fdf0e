"""Calls of concurrent lanes become one and come back as if each had been alone."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import weakref

import pytest
import torch

from modules.processing_diffusers.multiplexer.call import Call, Target
from modules.processing_diffusers.multiplexer.core import Multiplexer
from modules.processing_diffusers.multiplexer.stand_in import Port, StandIn, target_of
from modules.support.log import about, subject
from tests.processing_diffusers.conftest import in_threads


class Adder(torch.nn.Module):
    """y = x * factor + timestep + mean of the context, and it remembers how large its batches were."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor))
        self.batches = []

    def forward(self, sample, timestep, context=None, added=None, ids=None, flag=None):
        self.batches.append(sample.shape[0])
        result = sample * self.factor + timestep.reshape(-1, 1)
        if context is not None:
            result = result + context.mean(dim=(1, 2)).reshape(-1, 1)
        if added is not None:
            result = result + added["size"].reshape(-1, 1)
        if ids is not None:
            result = result + ids.sum()
        return (result,)


@pytest.fixture
def multiplexer():
    made = Multiplexer(window=lambda: 0.05)
    yield made
    made.close()


def stand(multiplexer, lane, module_or_target, **options):
    target = module_or_target if isinstance(module_or_target, Target) else target_of(module_or_target, "adder")
    return StandIn(target, Port(multiplexer, lane, **options), device=torch.device("cpu"), dtype=torch.float32)


def gate(module):
    """Hold the module's first forward until released, so that calls pile up behind it."""
    entered, release = threading.Event(), threading.Event()
    plain, first = module.forward, []

    def forward(*given, **named):
        if not first:
            first.append(True)
            entered.set()
            assert release.wait(20)
        return plain(*given, **named)

    module.forward = forward
    return entered, release


def pile_up(multiplexer, module, calls):
    """Run the calls (functions of a stand-in maker) so that all but a first one wait for the executor together."""
    entered, release = gate(module)
    target = target_of(module, "adder")

    def blocker():
        with multiplexer.lane() as lane:
            stand(multiplexer, lane, target)(torch.zeros(1, 7), torch.tensor(0))

    first = threading.Thread(target=blocker)
    first.start()
    assert entered.wait(20)
    waiting = threading.Semaphore(0)
    plain = multiplexer.call

    def counted(*given, **named):
        waiting.release()
        return plain(*given, **named)

    multiplexer.call = counted

    def run(call):
        with multiplexer.lane() as lane:
            return call(lambda **options: stand(multiplexer, lane, target, **options))

    results = []
    starter = threading.Thread(target=lambda: results.extend(in_threads([lambda c=c: run(c) for c in calls])))
    starter.start()
    for _ in calls:
        assert waiting.acquire(timeout=20)
    threading.Event().wait(0.05)
    release.set()
    starter.join(60)
    first.join(20)
    return results


def test_calls_with_different_steps_and_values_become_one_forward(multiplexer):
    module = Adder()
    inputs = [torch.randn(2, 3) for _ in range(4)]
    calls = [lambda make, x=x, t=t: make()(x, torch.tensor(t))[0] for t, x in enumerate(inputs)]
    results = pile_up(multiplexer, module, calls)
    assert module.batches == [1, 8]
    for step, (given, result) in enumerate(zip(inputs, results, strict=True)):
        assert torch.equal(result, given * 2 + step)


def test_nested_arguments_are_merged_and_equal_unbatched_ones_are_kept(multiplexer):
    module = Adder()
    ids = torch.tensor([1.0, 2.0, 3.0])

    def call(value):
        return lambda make: make()(
            torch.full((1, 2), value),
            torch.tensor([value]),
            added={"size": torch.tensor([10 * value])},
            ids=ids.clone(),
        )[0]

    results = pile_up(multiplexer, module, [call(1.0), call(2.0)])
    assert module.batches == [1, 2]
    assert [float(result[0, 0]) for result in results] == [2 + 1 + 10 + 6, 4 + 2 + 20 + 6]


@pytest.mark.parametrize(
    "other",
    [
        lambda make: make()(torch.zeros(1, 3), torch.tensor(0)),
        lambda make: make()(torch.zeros(1, 2), torch.tensor(0), flag=True),
        lambda make: make()(torch.zeros(1, 2), torch.tensor(0), ids=torch.tensor([1.0, 2.0])),
        lambda make: make()(torch.zeros(1, 2), torch.tensor(0), context=torch.zeros(1, 2, 2)),
    ],
    ids=["shape", "flag", "unbatched tensor", "keyword"],
)
def test_calls_that_differ_otherwise_are_not_merged(multiplexer, other):
    module = Adder()
    pile_up(multiplexer, module, [lambda make: make()(torch.zeros(1, 2), torch.tensor(0)), other])
    assert module.batches == [1, 1, 1]


def test_a_merged_batch_never_exceeds_the_limit(multiplexer):
    module = Adder()
    calls = [lambda make: make(limit=4)(torch.zeros(2, 3), torch.tensor(0)) for _ in range(5)]
    pile_up(multiplexer, module, calls)
    assert sorted(module.batches) == [1, 2, 4, 4]


class Shift:
    """A patch that changes the factor for its calls."""

    signature = "shift"

    @contextlib.contextmanager
    def applied(self, module):
        before = module.factor.data.clone()
        module.factor.data += 1
        try:
            yield
        finally:
            module.factor.data.copy_(before)


def test_a_patch_holds_for_its_own_calls_only(multiplexer):
    module = Adder()
    calls = [lambda make, p=p: make(patches=p)(torch.ones(1, 1), torch.tensor(0))[0] for p in ((), (Shift(),), ())]
    results = pile_up(multiplexer, module, calls)
    assert [float(result) for result in results] == [2, 3, 2]
    assert sorted(module.batches) == [1, 1, 2]
    assert float(module.factor.detach()) == 2


def test_only_the_guilty_lane_fails(multiplexer):
    class Picky(Adder):
        def forward(self, sample, timestep):
            if bool((sample < 0).any()):
                raise ValueError("negative")
            return super().forward(sample, timestep)

    def call(value):
        def run(make):
            try:
                return float(make()(torch.full((1, 1), value), torch.tensor(0))[0])
            except ValueError as error:
                return str(error)

        return run

    assert pile_up(multiplexer, Picky(), [call(1.0), call(-1.0), call(3.0)]) == [2.0, "negative", 6.0]


def test_running_out_of_memory_splits_the_batch(multiplexer):
    class Small(Adder):
        def forward(self, sample, timestep):
            if sample.shape[0] > 2:
                raise torch.OutOfMemoryError("too much")
            return super().forward(sample, timestep)

    module = Small()
    results = pile_up(
        multiplexer,
        module,
        [lambda make, v=v: float(make()(torch.full((1, 1), v), torch.tensor(0))[0]) for v in range(5)],
    )
    assert results == [0, 2, 4, 6, 8]
    assert max(module.batches) <= 2
    assert multiplexer.stats()["splits"] >= 1


def test_activations_of_a_failed_forward_are_gone_before_its_halves_are_run():
    alive, seen = [], []

    class Small(Adder):
        def forward(self, sample, timestep):
            activation = sample + 1
            if sample.shape[0] > 1:
                alive.append(weakref.ref(activation))
                try:
                    raise ValueError("the kernel's own words")
                except ValueError:
                    raise torch.OutOfMemoryError("too much")  # noqa: B904
            return super().forward(sample, timestep)

    made = Multiplexer(window=lambda: 0.05, release=lambda: seen.extend(ref() is None for ref in alive))
    try:
        pile_up(
            made, Small(), [lambda make, v=v: make()(torch.full((1, 1), v), torch.tensor(0)) for v in (1.0, 2.0, 3.0)]
        )
    finally:
        made.close()
    assert len(seen) >= 2
    assert all(seen)


def test_one_call_that_does_not_fit_fails_alone(multiplexer):
    class Never(Adder):
        def forward(self, sample, timestep):
            raise torch.OutOfMemoryError("too much")

    with multiplexer.lane() as lane, pytest.raises(torch.OutOfMemoryError):
        stand(multiplexer, lane, Never())(torch.zeros(1, 1), torch.tensor(0))
    with multiplexer.lane() as lane:
        assert float(stand(multiplexer, lane, Adder())(torch.ones(1, 1), torch.tensor(0))[0]) == 2


def test_many_lanes_that_come_go_and_die_all_get_their_own_results(multiplexer):
    module = Adder()
    target = target_of(module, "adder")

    def work(number):
        dice = random.Random(number)
        total = torch.zeros(1, 4)
        with multiplexer.lane() as lane:
            call = stand(multiplexer, lane, target, limit=6)
            for step in range(dice.randint(5, 25)):
                if number % 5 == 0 and step == 3:
                    return None  # dies between two calls
                total = call(total * 0.25 + number, torch.tensor(step))[0]
            return total

    def alone(number):
        dice = random.Random(number)
        total = torch.zeros(1, 4)
        for step in range(dice.randint(5, 25)):
            if number % 5 == 0 and step == 3:
                return None
            total = (total * 0.25 + number) * 2 + step
        return total

    with torch.no_grad():
        results = in_threads([lambda n=n: work(n) for n in range(16)])
    for number, result in enumerate(results):
        wanted = alone(number)
        assert (result is None) == (wanted is None)
        if wanted is not None:
            torch.testing.assert_close(result, wanted)
    assert multiplexer.stats()["targets"]["adder"]["calls"] >= 16 * 3


def test_a_closed_multiplexer_says_so():
    made = Multiplexer()
    made.close()
    with made.lane() as lane, pytest.raises(RuntimeError, match="closed"):
        stand(made, lane, Adder())(torch.zeros(1, 1), torch.tensor(0))


def test_the_stand_in_computes_in_the_modules_precision_and_speaks_fp32():
    seen = {}

    class Probe(torch.nn.Module):
        def forward(self, sample, timestep):
            seen.update(sample=sample.dtype, timestep=timestep)
            return (sample,)

    made = Multiplexer()
    try:
        with made.lane() as lane:
            target = target_of(Probe(), "probe")
            half = StandIn(target, Port(made, lane), device=torch.device("cpu"), dtype=torch.bfloat16)
            output = half(torch.zeros(1, 1), torch.tensor(999))[0]
    finally:
        made.close()
    assert (seen["sample"], output.dtype, half.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert float(seen["timestep"]) == 999


def test_closing_does_not_wait_for_ever_for_a_forward_that_hangs():
    made, module = Multiplexer(), Adder()
    entered, release = threading.Event(), threading.Event()
    plain = module.forward

    def forward(*given, **named):
        entered.set()
        assert release.wait(20)
        return plain(*given, **named)

    module.forward = forward
    results = []

    def draw():
        with made.lane() as lane:
            results.append(stand(made, lane, module)(torch.ones(1, 2), torch.zeros(1))[0])

    drawing = threading.Thread(target=draw)
    drawing.start()
    assert entered.wait(20)
    made.close(patience=0.05)
    assert drawing.is_alive()
    release.set()
    drawing.join(20)
    assert torch.equal(results[0], torch.full((1, 2), 2.0)), "what was under way still came to its end"


def test_what_a_forward_logs_belongs_to_the_jobs_that_asked_for_it(multiplexer, caplog):
    class Talker(Adder):
        def forward(self, sample, timestep):
            logging.getLogger("library").warning("%s", dict(subject()))
            if sample.shape[0] > 2:
                raise ValueError("too many")
            return super().forward(sample, timestep)

    def call(make, job):
        with about(job_id=job):
            return make()(torch.zeros(2, 3), torch.tensor(0))

    pile_up(multiplexer, Talker(), [lambda make, job=job: call(make, job) for job in ("b", "a")])
    said = [record.getMessage() for record in caplog.records if record.name == "library"]
    assert said[:2] == ["{}", "{'job_ids': 'a b'}"]
    assert sorted(said[2:]) == ["{'job_id': 'a'}", "{'job_id': 'b'}"]


class Reader(torch.nn.Module):
    """Looks at a text by attention, and remembers how long each call's text was."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, sample, encoder_hidden_states=None):
        self.seen.append(tuple(encoder_hidden_states.shape[:2]))
        text = encoder_hidden_states
        return (torch.nn.functional.scaled_dot_product_attention(sample, text, text),)


def test_calls_with_texts_of_unequal_length_become_one_forward_where_repeating_says_the_same(multiplexer):
    module, arguments = Reader(), []
    target = target_of(module, "reader", stepped=True, repeated="encoder_hidden_states")
    line = multiplexer._line
    for tokens in (4, 6, 12, 4, 25):
        random = torch.Generator().manual_seed(tokens + len(arguments))
        text = torch.randn(2, tokens, 4, generator=random)
        arguments.append({"sample": torch.randn(2, 5, 4, generator=random), "encoder_hidden_states": text})
    alone = [module(**each)[0] for each in arguments]
    module.seen.clear()
    choose, together = line.choose, threading.Event()

    def choose_late(*given, **named):
        if len(line) == len(arguments):
            together.set()
        return choose(*given, **named) if together.is_set() else ([], 0.02)

    def call(each):
        with multiplexer.lane() as lane:
            return multiplexer.call(lane, target, each, limit=16)[0]

    line.choose = choose_late
    results = in_threads([lambda each=each: call(each) for each in arguments])
    for found, wanted in zip(results, alone, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert sorted(module.seen) == [(2, 25), (8, 12)]  # 300 tokens for all would be too many


def test_texts_of_unequal_length_stay_apart_elsewhere(multiplexer):
    module = Reader()
    with multiplexer.lane() as lane:
        keys = set()
        for repeated in ("", "encoder_hidden_states"):
            target = target_of(module, "reader", repeated=repeated)
            for tokens in (3, 6):
                arguments = {"sample": torch.zeros(1, 2, 4), "encoder_hidden_states": torch.zeros(1, tokens, 4)}
                keys.add(Call(target, arguments, lane=lane, limit=4).key[1:])
    assert len(keys) == 3
