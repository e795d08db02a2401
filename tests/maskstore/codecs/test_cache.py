import threading

from maskstore.codecs.cache import LruCache


def test_what_was_not_asked_for_longest_goes_first():
    made = []

    def get(key, size=1):
        return recent.get(key, lambda: (made.append(key), "x" * size)[1])

    recent = LruCache(3, len)
    for key in "abcabc":
        get(key)
    assert made == ["a", "b", "c"]
    get("a")
    get("d")  # b goes
    get("a")
    get("c")
    get("b")
    assert made == ["a", "b", "c", "d", "b"]


def test_a_value_beyond_the_bound_is_kept_until_the_next():
    recent = LruCache(3, len)
    big, small = "x" * 10, "y"
    assert recent.get("big", lambda: big) is big
    assert recent.get("big", lambda: "another") is big
    assert recent.get("small", lambda: small) is small
    assert recent.get("big", lambda: "new") == "new"


def test_threads_that_make_the_same_value_count_it_once():
    recent = LruCache(4, len)
    together = threading.Barrier(4)

    def make():
        together.wait()
        return "xx"

    threads = [threading.Thread(target=recent.get, args=("a", make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recent.get("b", lambda: "yy")
    assert recent.get("a", lambda: "made again") == "xx"
    assert recent.get("b", lambda: "made again") == "yy"
