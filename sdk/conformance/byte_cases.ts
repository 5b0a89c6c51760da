/**
 * The bytes of frames.json that no encoder of ours writes: what a client takes all the same, what it
 * takes without the message, and what ends its connection. Frames that can be encoded are
 * `frame_cases.ts`.
 */
import type { Plain } from "./plain.ts";

/** Frames that no encoder of ours writes and that a client must still take: hex and meaning. */
export const LENIENT: Readonly<Record<string, readonly [string, Plain]>> = {
  "MSG with an unknown field": ["041a016c8a060178", { kind: "msg", message: { room_id: "l" } }],
  "MSG with a repeated field: the last counts": [
    "041a01611a0162",
    { kind: "msg", message: { room_id: "b" } },
  ],
  "MSG with two payloads: the last counts": [
    "04a201030a0163aa01030a0165",
    { kind: "msg", message: { event: { type: "e" } } },
  ],
  "MSG with two events: they are merged": [
    "04aa01030a0165aa01031a0178",
    { kind: "msg", message: { event: { type: "e", content_type: "x" } } },
  ],
  "MSG whose room is a varint: passed over": [
    "041807aa01030a0165",
    { kind: "msg", message: { event: { type: "e" } } },
  ],
  "MSG with a header without name and value": [
    "042a00",
    { kind: "msg", message: { headers: { "": "" } } },
  ],
  "MSG with a header twice: the last counts": [
    "042a060a0161120131" + "2a060a0161120132",
    { kind: "msg", message: { headers: { a: "2" } } },
  ],
  "MSG with a header that has something unknown": [
    "042a0a0a01611201314a027879",
    { kind: "msg", message: { headers: { a: "1" } } },
  ],
  "MSG with defaults written out": ["041a0020004800", { kind: "msg", message: {} }],
  "MSG with a number written at length": ["04208100", { kind: "msg", message: { timestamp: 1 } }],
  "MSG with a bool of 2": ["043002", { kind: "msg", message: { ack_requested: true } }],
  "MSG with a signal of an unknown kind": ["04b201020863", {
    kind: "msg",
    message: { signal: {} },
  }],
  "BATCH with a length written at length": [
    "0583001a0161",
    { kind: "batch", messages: [{ room_id: "a" }] },
  ],
  "ACK with unknown fixed numbers": [
    "0908077901020304050607087d01020304",
    { kind: "ack", message: { request_id: 7 } },
  ],
  "ACK with an unknown field": ["0908077a0178", { kind: "ack", message: { request_id: 7 } }],
  "ERR of one line, which is all message": [
    "9901936e6f",
    { kind: "err", code: 403, message: "no" },
  ],
  "ERR with an unknown member": [
    "9901930a7b226c61746572223a5b315d2c22726f6f6d223a2261227d",
    { kind: "err", code: 403, room_id: "a" },
  ],
  "WELCOME with an unknown field": [
    "000a01634801a2060178",
    { kind: "welcome", message: { connection_id: "c", protocol_version: 1 } },
  ],
};

/** What stands for a message of room "l" that cannot be read. */
const unreadable = (rest: Plain = {}): Plain => ({
  room_id: "l",
  ...rest,
  signal: { kind: "GAP", target: "l", reason: "unreadable" },
});

/**
 * Messages that an earlier Shield stored, or that are damaged inside. What the Shield wrote of them
 * is there, a GAP is in place of the payload, and the client goes on.
 */
export const TORN: Readonly<Record<string, readonly [string, Plain]>> = {
  "MSG with an event of a length of 6 bytes": [
    "041a016caa01838080808000" + "0a01744807",
    { kind: "msg", message: unreadable({ offset: 7 }) },
  ],
  "MSG with an event whose data has a length of 6 bytes": [
    "041a016c420161aa0109128280808080007b7d4807",
    { kind: "msg", message: unreadable({ offset: 7, sender_id: "a" }) },
  ],
  "MSG with a message_id of a length of 10 bytes": [
    "041a016c5a81808080808080808000" + "6daa01004807",
    { kind: "msg", message: unreadable({ offset: 7 }) },
  ],
  "MSG with a signature of a length of 7 bytes": [
    "041a016c52818080808080005aaa0100",
    { kind: "msg", message: unreadable() },
  ],
  "MSG with a tag of 6 bytes": ["049a8080808000016c", { kind: "msg", message: unreadable() }],
  "MSG whose event type is no UTF-8": [
    "041a016caa01040a02c3284807",
    { kind: "msg", message: unreadable({ offset: 7 }) },
  ],
  "MSG with an event that ends in the middle": [
    "041a016caa01040a05c3284807",
    { kind: "msg", message: unreadable({ offset: 7 }) },
  ],
  "MSG with a group in its event": [
    "041a016caa010263644807",
    { kind: "msg", message: unreadable({ offset: 7 }) },
  ],
  "BATCH with one that cannot be read between two": [
    "05031a016c" + "0c1a016caa01040a02c3284807" + "031a016c",
    {
      kind: "batch",
      messages: [{ room_id: "l" }, unreadable({ offset: 7 }), { room_id: "l" }],
    },
  ],
};

/** Bytes that are no frame for a client: it closes, and does not reconnect. */
export const REFUSED: Readonly<Record<string, string>> = {
  "an empty frame": "",
  "opcode 0x7f, which nobody has": "7f",
  "opcode 0xff, which nobody has": "ff00",
  "a PUB, which only clients send": "011a056c6f626279",
  "a SUB, which only clients send": "020a056c6f626279",
  "an UNSUB, which only clients send": "030a056c6f626279",
  "a REFRESH, which only clients send": "060a0161",
  "a JSON text in a binary frame": "7b226f70223a2270696e67227d",
  "a MSG cut in a tag's value": "041a056c6f62",
  "a MSG cut in the payload": "041a0161aa01090a0463686174",
  "a MSG cut in a varint": "0420ff",
  "a MSG with a varint of 11 bytes": "0420ffffffffffffffffffff01",
  "a MSG with field number 0": "040001",
  "a MSG with wire type 7": "040f",
  "a MSG with the end of a group that never began": "0404",
  "a MSG whose room is no UTF-8": "041a02c328",
  "a MSG whose event type is no UTF-8": "04aa01040a02c328",
  "a BATCH cut in an envelope": "05051a0161",
  "a BATCH with a length of 6 bytes": "05ffffffffff01",
  "a BATCH whose second envelope is garbage": "05031a016102ffff",
  "a WELCOME cut in a text": "000a0563",
  "an ACK of garbage": "09ffffffff",
  "an ACK whose reason is no UTF-8": "091a01ff",
  "a MSG with wire type 6": "040e",
  "a MSG with a field number beyond 2^29": "04808080801001",
  "a MSG with an event whose tag has 6 bytes": "04aa01088a80808080000163",
  "a MSG with a group that nobody knows": "046364",
  "a MSG with a group in its event": "04aa01026364",
  "a MSG with a header that is no UTF-8": "042a030a01ff",
  "a MSG with half of a surrogate pair": "041a03eda080",
  "a MSG with a varint beyond 64 bits": "0420ffffffffffffffffff02",
  "a MSG with an offset beyond 64 bits": "0448ffffffffffffffffff21",
  "a MSG with a timestamp of 2^53": "04208080808080808010",
  "a MSG with a timestamp of -2^53": "042080808080808080f0ff01",
  "a MSG with a signal that ends at 2^53": "04b20109208080808080808010",
  "a MSG with a signal's kind beyond 32 bits": "04b2010608ffffffff0f",
  "a BATCH with a timestamp of 2^53": "0509208080808080808010",
  "a BATCH with a length beyond 64 bits": "05ffffffffffffffffff02",
  "a WELCOME with a field twice": "000a01630a0163",
  "a WELCOME whose node_id is a varint": "004001",
  "a WELCOME whose heartbeat is beyond 32 bits": "00288080808010",
  "a WELCOME whose time is 2^53": "00208080808080808010",
  "an ACK with a request id twice": "0908070807",
  "an ACK with a result twice": "0908072a01782a0179",
  "an ACK whose request id is bytes": "090a0107",
  "an ACK whose request id is a fixed number": "09090700000000000000",
  "an ACK whose reason is a varint": "0908071807",
  "an ACK whose code is beyond 32 bits": "090807108080808010",
  "an ACK whose code is beyond 32 bits and would be as long when cut": "090807108080808012",
  "an ACK with a varint beyond 64 bits": "0908ffffffffffffffffff02",
  "an ACK with a tag of 6 bytes": "0988808080800007",
  "an ACK with a group that nobody knows": "0908076364",
  "a frame of opcode 10, which there is not": "0a089003",
  "an ERR whose last line is no JSON": "9901930a7b22726f6f6d22",
  "an ERR whose last line is a list": "9901930a5b5d",
  "an ERR whose room is a number": "9901930a7b22726f6f6d223a317d",
  "an ERR whose wait is below 0": "9901930a7b2272657472795f61667465725f6d73223a2d317d",
  "an ERR whose wait is beyond 32 bits":
    "9901930a7b2272657472795f61667465725f6d73223a343239343936373239367d",
  "a PING of 126 bytes": "07" + "ab".repeat(126),
  "a PONG of 126 bytes": "08" + "ab".repeat(126),
  "an ERR that is no UTF-8": "990190ff",
  "an ERR without a code": "99",
  "an ERR with half a code": "9901",
};
