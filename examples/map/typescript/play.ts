/**
 * Plays the GTFS-realtime feeds of a folder (`*.pb`) into a room: the data of every vehicle, in the order of the feeds'
 * own times. For Deno and for Node 22 or newer.
 */
import { readdir, readFile } from "node:fs/promises";
import process from "node:process";
import { parseArgs } from "node:util";
import { connect, type Room } from "@arqon/sdk";
import { type Feed, readFeed } from "./gtfs.ts";

/** Feeds of different days are played without the pause of the night: it waits at most as long as within a day. */
const PAUSE_SECONDS_MAX = 60;
const USAGE = "usage: play.ts URL TOKEN FOLDER [--room map] [--speed 10]";

async function readFeeds(folder: string): Promise<Feed[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".pb")).sort();
  if (names.length === 0) throw new Error(`there is no *.pb in ${folder}`);
  const feeds = await Promise.all(
    names.map(async (name) => readFeed(await readFile(`${folder}/${name}`))),
  );
  return feeds.sort((a, b) => a.at_seconds - b.at_seconds);
}

/** Publishes a feed. A vehicle that is on the map on one of the feed's routes and not in the feed is removed. */
async function publishFeed(
  room: Room,
  { vehicles }: Feed,
  on_map: Map<string, string>,
): Promise<void> {
  // With the header `x-key`, messages that wait for a slow viewer are merged: the newest of each vehicle remains.
  const sent = vehicles.map((vehicle) => (
    room.publish("vehicle", { ...vehicle }, { headers: { "x-key": vehicle.id } })
  ));
  const routes = new Set(vehicles.map(({ route }) => route));
  const here = new Set(vehicles.map(({ id }) => id));
  for (const [id, route] of on_map) {
    if (!routes.has(route) || here.has(id)) continue;
    sent.push(room.publish("gone", { id }, { headers: { "x-key": id } }));
    on_map.delete(id);
  }
  for (const { id, route } of vehicles) on_map.set(id, route);
  await Promise.all(sent);
}

async function play(): Promise<void> {
  const room = { type: "string", default: "map" } as const;
  const speed = { type: "string", default: "10" } as const;
  const { values, positionals } = parseArgs({ options: { room, speed }, allowPositionals: true });
  const [url, token, folder] = positionals;
  const factor = Number(values.speed);
  if (url === undefined || token === undefined || folder === undefined) throw new Error(USAGE);
  if (!(factor > 0)) throw new Error(`--speed is ${values.speed}; expected a number above 0`);
  const feeds = await readFeeds(folder);
  const bus = await connect({ url, token });
  const on_map = new Map<string, string>();
  for (const [index, feed] of feeds.entries()) {
    await publishFeed(bus.room(values.room), feed, on_map);
    const when = new Date(feed.at_seconds * 1_000).toISOString();
    console.log(`${when}: ${feed.vehicles.length} vehicles, ${on_map.size} on the map`);
    const next_seconds = feeds[index + 1]?.at_seconds ?? feed.at_seconds;
    const pause_seconds = Math.min(next_seconds - feed.at_seconds, PAUSE_SECONDS_MAX);
    await new Promise((resolve) => setTimeout(resolve, pause_seconds * 1_000 / factor));
  }
  await bus.close();
}

try {
  await play();
} catch (error) {
  console.error(`play: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
