"""One contract, two places that count."""

from __future__ import annotations

import threading
import time

import pytest

from modules.accounts.counters import opening
from modules.accounts.counters.memory import MemoryCounters
from modules.accounts.counters.opening import open_counters
from modules.accounts.counters.redis import PREFIX
from modules.contracts.counters import Limit
from modules.contracts.errors import DeviceUnavailable, InvalidRequest, NotReady

MINUTE = Limit(3, 60.0)


class Contract:
    """What holds wherever it is counted. A subclass has the fixture `counters` and says how time passes."""

    def pass_time(self, counters, seconds):
        raise NotImplementedError

    def test_a_limit_is_reached_and_not_passed(self, counters):
        assert [counters.take("a", 1, MINUTE).used for _ in range(3)] == [1, 2, 3]
        refused = counters.take("a", 1, MINUTE)
        assert (refused.used, refused.ticket) == (3, None)
        assert 50 < refused.wait <= 60

    def test_keys_do_not_know_each_other(self, counters):
        counters.take("a", 3, MINUTE)
        assert counters.take("a b", 3, MINUTE).ticket is not None
        assert counters.take("a", 1, MINUTE).ticket is None

    def test_what_does_not_fit_counts_nothing(self, counters):
        counters.take("a", 2, MINUTE)
        assert counters.take("a", 2, MINUTE).ticket is None
        assert counters.take("a", 1, MINUTE).ticket is not None

    def test_looking_counts_nothing(self, counters):
        assert (counters.look("a", 3, MINUTE).used, counters.look("a", 3, MINUTE).wait) == (0, 0)
        counters.take("a", 2, MINUTE)
        assert counters.look("a", 0, MINUTE).used == 2
        assert counters.look("a", 1, MINUTE).wait == 0
        assert 50 < counters.look("a", 2, MINUTE).wait <= 60
        assert counters.take("a", 1, MINUTE).ticket is not None

    def test_what_is_given_back_is_free_again(self, counters):
        first, second = counters.take("a", 2, MINUTE), counters.take("a", 1, MINUTE)
        counters.give_back("a", first.ticket)
        assert counters.look("a", 0, MINUTE).used == 1
        counters.give_back("a", first.ticket)
        counters.give_back("a", second.ticket)
        counters.give_back("never seen", "x")
        assert counters.look("a", 0, MINUTE).used == 0

    def test_the_window_slides(self, counters):
        counters.take("a", 2, MINUTE)
        self.pass_time(counters, 40)
        counters.take("a", 1, MINUTE)
        assert 10 < counters.look("a", 1, MINUTE).wait <= 20  # the first two are over first
        assert 50 < counters.look("a", 3, MINUTE).wait <= 60
        self.pass_time(counters, 21)
        assert counters.take("a", 2, MINUTE).used == 3
        self.pass_time(counters, 61)
        assert counters.look("a", 0, MINUTE).used == 0

    def test_what_never_fits_waits_for_the_whole_window(self, counters):
        assert counters.take("a", 4, MINUTE).wait == 60

    def test_many_at_once_share_one_limit(self, counters):
        limit, tickets = Limit(10, 60.0), []

        def ask():
            for _ in range(5):
                tickets.append(counters.take("a", 1, limit).ticket)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = [ticket for ticket in tickets if ticket is not None]
        assert (len(tickets), len(taken), len(set(taken))) == (40, 10, 10)


class TestMemory(Contract):
    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

    @pytest.fixture
    def counters(self):
        self.clock = self.Clock()
        return MemoryCounters(self.clock)

    def pass_time(self, counters, seconds):
        self.clock.now += seconds

    def test_strangers_do_not_fill_the_memory(self):
        counters = MemoryCounters(most_keys=3)
        for number in range(10):
            counters.take(str(number), 1, MINUTE)
        assert [number for number in range(10) if counters.look(str(number), 0, MINUTE).used] == [7, 8, 9]


class TestRedis(Contract):
    @pytest.fixture
    def counters(self, redis_server):
        made = open_counters(redis_server.address)
        yield made
        made.close()

    def pass_time(self, counters, seconds):
        """Makes what is counted older, since nobody can turn the server's clock."""
        for key in counters._client.scan_iter():
            for member, score in counters._client.zrange(key, 0, -1, withscores=True):
                counters._client.zadd(key, {member: score - seconds * 1e6})

    def test_processes_share_one_limit(self, counters, redis_server):
        other = open_counters(redis_server.address.replace("redis://", "valkey://"))
        counters.take("a", 2, MINUTE)
        assert other.take("a", 2, MINUTE).ticket is None
        assert other.take("a", 1, MINUTE).used == 3
        other.close()

    def test_a_socket_of_the_file_system_will_do(self, counters, redis_server):
        beside = open_counters(f"unix://{redis_server.socket}")
        counters.take("a", 2, MINUTE)
        assert beside.take("a", 1, MINUTE).used == 3
        beside.close()

    def test_nothing_stays_on_the_server(self, counters, redis_server):
        import redis

        counters.take("a", 1, MINUTE)
        with redis.Redis.from_url(redis_server.address) as client:
            assert client.keys() == [f"{PREFIX}a".encode()]
            assert 50_000 < client.pttl(f"{PREFIX}a") <= 60_000

    def test_a_server_whose_clock_was_put_back_keeps_the_limit_for_one_window(self, counters, redis_server):
        import redis

        with redis.Redis.from_url(redis_server.address) as client:
            seconds = client.time()[0]
            for place in range(3):
                client.zadd(f"{PREFIX}a", {f"{place:032x}:1": (seconds + 3600 + place) * 1_000_000})
        refused = counters.take("a", 1, MINUTE)
        assert (refused.used, refused.ticket) == (3, None)
        assert 50 < refused.wait <= 58

    def test_a_question_that_is_asked_twice_counts_once(self, counters):
        """As when an answer got lost and the client library has asked again."""
        ticket = f"{7:032x}:2"
        assert counters._run("a", ticket, 2, MINUTE) == counters._run("a", ticket, 2, MINUTE)
        assert counters.look("a", 0, MINUTE).used == 2

    def test_a_server_that_went_away_is_said_so_and_found_again(self, counters, redis_server, monkeypatch):
        counters.take("a", 2, MINUTE)
        redis_server.stop()
        for _ in range(2):
            with pytest.raises(NotReady, match="does not answer"):
                counters.take("a", 1, MINUTE)
        redis_server.start()
        with pytest.raises(NotReady):
            counters.look("a", 0, MINUTE)  # not even asked, so soon after a failure
        monkeypatch.setattr(counters, "_clock", lambda: time.monotonic() + 2)
        assert counters.take("a", 1, MINUTE).ticket is not None

    def test_the_studio_starts_before_the_server_does(self, redis_server, caplog):
        address = redis_server.address
        redis_server.stop()
        late = open_counters(address)
        assert "does not answer" in caplog.text
        redis_server.start()
        late._clock = lambda: time.monotonic() + 2
        assert late.take("a", 1, MINUTE).used == 1
        late.close()


def test_without_an_address_it_is_counted_in_memory():
    assert isinstance(open_counters(None), MemoryCounters)


@pytest.mark.parametrize("address", ["redis://host:port/0", "redis://u:secret@host/x", "redis://", "memcached://host"])
def test_an_address_that_cannot_be_is_not_repeated(address):
    with pytest.raises(InvalidRequest, match="redis://HOST:PORT/NUMBER") as refusal:
        open_counters(address)
    assert "secret" not in refusal.value.message


def test_without_the_client_library_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(opening.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceUnavailable, match="--extra redis"):
        open_counters("redis://127.0.0.1")
