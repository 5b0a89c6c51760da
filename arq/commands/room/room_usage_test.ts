/** `arq room` as its own process without a bus. `room_test.ts` has the bus. */
import { type Refusal, refuses } from "../../testing/run_arq.ts";

const NOWHERE = ["--url", "ws://127.0.0.1:1", "--token", "a.b.c"];

Deno.test("invalid command lines of room and an unreachable bus have different errors", async () => {
  const cases: Refusal[] = [
    [["get"], 2, /missing required argument 'room'/],
    [["get", "a b"], 2, /Not a room: character " "/],
    [["get", "lobby", ""], 2, /It is empty/],
    [["get", "lobby", ...NOWHERE], 4, /503 unreachable/],
    [["get", "lobby", "--url", "ws://127.0.0.1:1"], 3, /no token for ws:\/\/127\.0\.0\.1:1/],
    [["set", "lobby", "k"], 2, /missing required argument 'value'/],
    [["set", "lobby", "k", "1", "--expect-version", "0"], 2, /Expected a version/],
    [["set", "lobby", "k", "1", "--expect-version", "v4"], 2, /Expected a version/],
    [["set", "lobby", "k", "1", "--fence", "18446744073709551616"], 2, /Expected a fence/],
    [["set", "lobby", "k", "1", "--command-id", ""], 2, /It is empty/],
    [["set", "lobby", "k", "1", ...NOWHERE], 4, /503 unreachable/],
    [["delete", "lobby"], 2, /missing required argument 'key'/],
    [["lock", "lobby", "--ttl", "1w"], 2, /expected 15m, 1h, 7d or seconds/],
    [["lock", "lobby", "--wait", "soon"], 2, /--wait "soon": expected 15m, 1h/],
    [["lock", "lobby", "--fence", "7", "--", "true"], 2, /--fence renews a held lock/],
    [["lock", "lobby", ...NOWHERE, "--", "true"], 4, /503 unreachable/],
    [["unlock", "lobby"], 2, /required option '--fence <n>' not specified/],
    [["unlock", "lobby", "--fence", "0"], 2, /Expected a fence, as arq room lock prints it/],
    [["kick", "lobby", ...NOWHERE], 2, /give either USER or --connection/],
    [["kick", "lobby", "ann", "--connection", "c1", ...NOWHERE], 2, /either USER or/],
    [["ban", "lobby"], 2, /missing required argument 'user'/],
    [["ban", "lobby", "u".repeat(129)], 2, /a user id of 1 to 128 bytes/],
    [["ban", "lobby", "ann", "--forever", "--ttl", "1h"], 2, /'--forever' cannot be used with/],
    [["ban", "lobby", "ann", "--scope", "bus"], 2, /Allowed choices are room, tenant/],
    [["unban", "lobby", ""], 2, /a user id of 1 to 128 bytes/],
    [["members", "lobby", "--count", "5"], 2, /too many arguments/],
    [["members", "lobby", ...NOWHERE], 4, /503 unreachable/],
    [["watch", "lobby", "--count", "0"], 2, /a whole number above 0/],
    [["watch", "lobby", "--prefix", "a", ...NOWHERE], 2, /--prefix needs --values/],
    [["watch", "lobby", ...NOWHERE], 4, /503 unreachable/],
    [["history", "lobby", "--limit", "1", "--all"], 2, /'--all' cannot be used with/],
    [["history", "lobby", "--after", "x"], 2, /Expected an offset/],
    [["history", "lobby", ...NOWHERE], 4, /503 unreachable/],
    [["replay", "lobby"], 2, /required option '--to <room>' not specified/],
    [["replay", "lobby", "--to", "lobby", ...NOWHERE], 2, /--to is the room itself/],
    [["replay", "lobby", "--to", "a b"], 2, /Not a room/],
    [["replay", "lobby", "--to", "x", "--rate", "5/m"], 2, /a number above 0, as 500 or 500\/s/],
    [["replay", "lobby", "--to", "x", "--epoch", "a b"], 2, /Expected an epoch/],
    [["replay", "lobby", "--to", "x", ...NOWHERE], 4, /503 unreachable/],
    [["nonsense"], 2, /unknown command/],
  ];
  await refuses(cases, "room");
});
