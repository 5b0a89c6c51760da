/**
 * A browser with a tab for each room, as a process that can be killed: a line of JSON for every message that it has
 * heard to its end. Arguments: addresses with commas, a token, rooms with commas.
 */
import { connect } from "@arqon/sdk";
import { readRoom } from "./reader.ts";

const [urls = "", token = "", rooms = ""] = Deno.args;
const addresses = urls.split(",");
const signal = new AbortController().signal;
await Promise.all(
  rooms.split(",").map(async (room, at) => {
    const url = addresses[at % addresses.length]!;
    const backoff = { base_ms: 10, max_ms: 200 };
    // A Shield may just be on its way back.
    const bus = await connect({ url, token, backoff, initial_attempts: Infinity });
    await readRoom(bus, room, signal, (heard) => console.log(JSON.stringify(heard)));
  }),
);
