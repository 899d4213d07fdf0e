"""Memory of machine, container and process."""

from __future__ import annotations

from modules.device.ram import container_memory, host_memory, process_memory


def write(root, name, text):
    path = root / "sys/fs/cgroup" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_container_limit_counts_file_cache_as_free(tmp_path):
    write(tmp_path, "memory.max", "1000\n")
    write(tmp_path, "memory.current", "700\n")
    write(tmp_path, "memory.stat", "anon 300\ninactive_file 200\n")
    found = container_memory(tmp_path)
    assert (found.total, found.free) == (1000, 500)


def test_the_older_control_groups_are_read_too(tmp_path):
    write(tmp_path, "memory/memory.limit_in_bytes", "1000\n")
    write(tmp_path, "memory/memory.usage_in_bytes", "400\n")
    write(tmp_path, "memory/memory.stat", "cache 5\ntotal_inactive_file 100\n")
    assert container_memory(tmp_path).free == 700


def test_no_limit_and_no_control_group_give_none(tmp_path):
    assert container_memory(tmp_path) is None
    write(tmp_path, "memory.max", "max\n")
    write(tmp_path, "memory.current", "700\n")
    write(tmp_path, "memory.stat", "inactive_file 0\n")
    assert container_memory(tmp_path) is None


def test_this_machine_and_process_have_memory():
    system, process = host_memory(), process_memory()
    assert 0 < system.free <= system.total
    assert 0 < process.used < system.total
    assert process.peak is None or process.peak > 0
