"""Decodes an export with its format's own definitions, and prints what it found as JSON.

`decode.py perfetto FILE`: with the protocol buffers of PyPI's `perfetto`.
`decode.py openmetrics FILE`, `decode.py prometheus FILE`: with the parsers of PyPI's `prometheus_client`.
"""

import json
import sys


def unknown_fields(message):
    """How many fields of a message, and of those in it, its definition does not know."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    count = len(UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            values = value if field.is_repeated else [value]
            count += sum(unknown_fields(inner) for inner in values)
    return count


def value_of(annotation):
    """The value of a debug annotation."""
    if annotation.dict_entries:
        return {entry.name: value_of(entry) for entry in annotation.dict_entries}
    if annotation.array_values:
        return [value_of(entry) for entry in annotation.array_values]
    kind = annotation.WhichOneof("value")
    return getattr(annotation, kind) if kind else None


def perfetto(path):
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

    trace = proto.Trace()
    with open(path, "rb") as file:
        trace.ParseFromString(file.read())
    tracks, slices, instants, counters = {}, [], [], {}
    under_way = {}
    wrong = []
    Event = proto.TrackEvent
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            if track.uuid in tracks:
                wrong.append(f"track {track.uuid} is told twice")
            tracks[track.uuid] = {
                "name": track.process.process_name if track.HasField("process") else track.name,
                "pid": track.process.pid if track.HasField("process") else None,
                "parent": track.parent_uuid if track.HasField("parent_uuid") else None,
                "unit": proto.CounterDescriptor.Unit.Name(track.counter.unit)
                if track.HasField("counter")
                else None,
            }
            if track.HasField("parent_uuid") and track.parent_uuid not in tracks:
                wrong.append(f"track {track.uuid} is below an unknown one")
            continue
        if not packet.HasField("track_event"):
            wrong.append("a packet is neither a track nor an event")
            continue
        event = packet.track_event
        if packet.timestamp_clock_id != proto.BUILTIN_CLOCK_BOOTTIME:
            wrong.append(f"an event has clock {packet.timestamp_clock_id}")
        if event.track_uuid not in tracks:
            wrong.append(f"an event is on the unknown track {event.track_uuid}")
        arguments = {entry.name: value_of(entry) for entry in event.debug_annotations}
        entry = {
            "track": event.track_uuid,
            "name": event.name,
            "at": packet.timestamp,
            "args": arguments,
        }
        stack = under_way.setdefault(event.track_uuid, [])
        if event.type == Event.TYPE_SLICE_BEGIN:
            stack.append(entry)
        elif event.type == Event.TYPE_SLICE_END:
            if not stack:
                wrong.append(f"on track {event.track_uuid} something ends that did not begin")
                continue
            began = stack.pop()
            began["until"] = packet.timestamp
            slices.append(began)
        elif event.type == Event.TYPE_INSTANT:
            instants.append(entry)
        elif event.type == Event.TYPE_COUNTER:
            counters.setdefault(event.track_uuid, []).append(
                [packet.timestamp, event.counter_value]
            )
        else:
            wrong.append(f"an event has type {event.type}")
    return {
        "unknown_fields": unknown_fields(trace),
        "wrong": wrong,
        "open": sum(len(stack) for stack in under_way.values()),
        "tracks": tracks,
        "slices": slices,
        "instants": instants,
        "counters": counters,
    }


def openmetrics(path):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    with open(path, encoding="utf-8", newline="") as file:
        families = text_string_to_metric_families(file.read())
    return [
        {
            "name": family.name,
            "type": family.type,
            "unit": family.unit,
            "help": family.documentation,
            "samples": [[sample.name, sample.labels, sample.value] for sample in family.samples],
        }
        for family in families
    ]


def prometheus(path):
    """As node_exporter's textfile collector reads it: the older format, in which `# UNIT` and `# EOF` are comments."""
    from prometheus_client.parser import text_string_to_metric_families

    with open(path, encoding="utf-8", newline="") as file:
        families = text_string_to_metric_families(file.read())
    return [[sample.name, sample.labels, sample.value] for family in families for sample in family.samples]


if __name__ == "__main__":
    decode = {"perfetto": perfetto, "openmetrics": openmetrics, "prometheus": prometheus}
    json.dump(decode[sys.argv[1]](sys.argv[2]), sys.stdout)
