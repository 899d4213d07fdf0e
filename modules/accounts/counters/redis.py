"""Counts in Redis or Valkey, so that several processes hold one limit together and a restart forgets nothing.

A key is a sorted set whose members are tickets with their amounts and whose scores are moments of the server's own
clock in microseconds: a sliding log. One script looks and counts in one go, since scripts run one at a time there.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from modules.contracts.counters import Count, Limit
from modules.contracts.errors import NotReady

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)
PREFIX = "atelier:count:"
PAUSE = 1.0
"""Seconds after a failure in which nobody tries again: whoever asks is told at once instead of waiting, too."""

SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local amount, most, span = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local log = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local ahead = #log > 0 and tonumber(log[#log]) - now or 0
if ahead > 0 then
  for i = 1, #log, 2 do
    redis.call('ZADD', KEYS[1], string.format('%.0f', tonumber(log[i + 1]) - ahead), log[i])
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - span))
log = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local member = ARGV[1] .. ':' .. string.format('%d', amount)
local used, known = 0, false
for i = 1, #log, 2 do
  used = used + tonumber(string.match(log[i], '%d+$'))
  known = known or log[i] == member
end
if known then return {used, '0', 1} end
if used + amount > most then
  local left = used
  for i = 1, #log, 2 do
    left = left - tonumber(string.match(log[i], '%d+$'))
    if left + amount <= most then
      return {used, string.format('%.0f', tonumber(log[i + 1]) + span - now), 0}
    end
  end
  return {used, string.format('%.0f', span), 0}
end
if ARGV[1] == '' then return {used, '0', 0} end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), member)
redis.call('PEXPIRE', KEYS[1], math.ceil(span / 1000))
return {used + amount, '0', 1}
"""
"""Ticket (empty: only look), amount, most, window in microseconds.

What lies ahead of the server's clock was counted before the clock was put back; all of the log moves back with it. A
ticket that is there already was counted by a question whose answer got lost on its way.
"""

Answer = TypeVar("Answer")


class RedisCounters:
    """`modules.contracts.counters.Counters` over a server of Redis 5 or Valkey 7 and later."""

    def __init__(self, client: Redis, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`name` is what people call the server, without a password; `clock` times the pause after a failure."""
        self._client = client
        self._name = name
        self._clock = clock
        self._script: Any = client.register_script(SCRIPT)
        self._lock = threading.Lock()
        self._again = float("-inf")
        """When the server may be asked again."""

    def take(self, key: str, amount: int, limit: Limit) -> Count:
        """Count `amount` where the limit allows it."""
        return self._run(key, f"{uuid.uuid4().hex}:{amount}", amount, limit)

    def look(self, key: str, amount: int, limit: Limit) -> Count:
        """What `take` would say."""
        return self._run(key, "", amount, limit)

    def give_back(self, key: str, ticket: str) -> None:
        """Undo a `take`."""
        self._ask(functools.partial(self._client.zrem, PREFIX + key, ticket))

    def close(self) -> None:
        """Let go of all connections."""
        self._client.close()

    def probe(self) -> None:
        """Return when the server answers. Raises `NotReady`."""
        self._ask(self._client.ping)

    def _run(self, key: str, ticket: str, amount: int, limit: Limit) -> Count:
        name = ticket.partition(":")[0]
        values = [name, amount, limit.most, round(limit.seconds * 1e6)]
        used, wait, taken = self._ask(functools.partial(self._script, keys=[PREFIX + key], args=values))
        return Count(int(used), int(wait) / 1e6, ticket if taken else None)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        from redis.exceptions import RedisError

        with self._lock:
            if self._clock() < self._again:
                raise NotReady(self._sentence())
        try:
            return question()
        except (RedisError, OSError) as error:
            log.warning("the counters at %s do not answer: %s", self._name, error)
            with self._lock:
                self._again = self._clock() + PAUSE
            raise NotReady(self._sentence()) from error

    def _sentence(self) -> str:
        return "The server that counts for the limits does not answer now; try again in a few seconds."
