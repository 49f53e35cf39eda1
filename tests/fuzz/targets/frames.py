"""Frames from an environment: cut anywhere, they are the same frames, or it is not trusted."""

from router.workers.wire import FRAME_BYTES_MAX, FrameError, FrameReader, encode


def read(chunks):
    """Frames, and whether the stream was refused."""
    reader, frames = FrameReader(), []
    try:
        for chunk in chunks:
            frames += reader.feed(chunk)
    except FrameError:
        return frames, True
    assert reader.waiting_bytes <= FRAME_BYTES_MAX
    return frames, False


def one_input(data):
    if not data:
        return
    step = data[0] % 64 + 1
    stream = data[1:]
    parts = [stream[start : start + step] for start in range(0, len(stream), step)]
    frames, is_refused = read(parts)
    whole, is_whole_refused = read([stream])
    assert is_refused == is_whole_refused
    if not is_refused:
        assert frames == whole
        again = b"".join(encode(*frame) for frame in frames)
        assert stream.startswith(again)
