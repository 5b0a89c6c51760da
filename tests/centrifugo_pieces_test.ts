/** A frame with many of Centrifugo's commands runs in slices and in order, before the next frame. */
import assert from "node:assert/strict";
import { SHIELD_CAPABILITIES } from "../shield/capabilities.ts";
import type { Capability } from "../shield/capability.ts";
import { lightCopyWith } from "../shield/socket/light_copy.ts";
import { startWith, TOKENS } from "../shield/testing/lone_shield.ts";
import { until } from "../shared/testing/until.ts";

const COMMANDS = 1_000;
/** The most commands in a turn: those of two slices, and of one that ends it. */
const A_TURN = 64;

Deno.test("a frame of a thousand commands runs over many turns, in order, before the next frame", async () => {
  let [in_turn, most, judged] = [0, 0, 0];
  const probe: Capability = {
    name: "probe",
    title: "Counts the messages of a turn.",
    open: () => ({
      observer: {
        begun() {
          judged++;
          if (in_turn === 0) setImmediate(() => in_turn = 0);
          most = Math.max(most, ++in_turn);
        },
      },
    }),
  };
  const { shield, spine } = await startWith([...SHIELD_CAPABILITIES, probe], {
    server: { websocket: "native" },
    centrifugo: { enabled: true },
  });
  const serve: Deno.ServeHandler<Deno.NetAddr> = (request, info) =>
    shield.client(lightCopyWith(request, new Headers(request.headers)), info);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, serve);
  const socket = new WebSocket(`ws://127.0.0.1:${server.addr.port}/connection/websocket`);
  const ids: number[] = [];
  const closed = new Promise<void>((resolve) => socket.onclose = () => resolve());
  socket.onmessage = ({ data }) => {
    for (const line of String(data).split("\n")) {
      const { id, error } = JSON.parse(line);
      if (id !== undefined) ids.push(error === undefined ? id : -id);
    }
  };
  const send = (...commands: object[]) =>
    socket.send(commands.map((one) => JSON.stringify(one)).join("\n"));
  await new Promise((resolve) => socket.onopen = resolve);
  send({ id: 1, connect: { token: TOKENS[0] } });
  await until("the client is in", () => ids.length === 1);
  const all = Array.from({ length: COMMANDS }, (_, at) => at + 2);
  send(...all.map((id) => ({ id, publish: { channel: "a", data: id } })));
  send({ id: COMMANDS + 2, ping: {} }, { id: COMMANDS + 3, publish: { channel: "a", data: 0 } });
  await until("the last answer", () => ids.length === COMMANDS + 3);
  assert.deepEqual(ids.filter((id) => id !== COMMANDS + 2), [1, ...all, COMMANDS + 3]);
  assert.ok(ids.indexOf(COMMANDS + 2) >= 0);
  assert.equal(judged, COMMANDS + 1);
  assert.ok(most <= A_TURN, `${most} commands in one turn`);
  socket.close();
  await closed;
  await server.shutdown();
  await shield.drain();
  await spine.drain();
});
