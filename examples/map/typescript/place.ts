/**
 * The place of a vehicle on the page. Vehicles with coordinates are on a map. For agencies that report only stops, the
 * page draws a diagram: a row for each route, with trips from left to right and back.
 */
import type { Vehicle } from "./gtfs.ts";

/** Size of the page's drawing, in its own units. */
export const WIDTH = 1_000;
const MAP_HEIGHT = 500;
const ROW_HEIGHT = 60;
const MARGIN = 40;

/** Whether a message has the player's form: everybody with the grant can publish anything. */
export function isVehicle(value: unknown): value is Vehicle {
  const { id, route, stop, sequence, latitude = 0, longitude = 0 } = Object(value);
  return [id, route, stop].every((text) => typeof text === "string") &&
    [sequence, latitude, longitude].every(Number.isFinite);
}

/** A dot, in units of the drawing. */
export interface Spot {
  readonly x: number;
  readonly y: number;
}

/** Everything that is drawn. */
export interface Picture {
  readonly height: number;
  /** By the vehicle's id. */
  readonly spots: ReadonlyMap<string, Spot>;
  /** Names of the routes, and the height at which their rows are. */
  readonly rows: readonly { readonly route: string; readonly y: number }[];
}

/** From 0 to 1; 0.5 when there is only one place. */
function share(value: number, low: number, high: number): number {
  return high > low ? (value - low) / (high - low) : 0.5;
}

const between = (part: number, length: number) => MARGIN + part * (length - 2 * MARGIN);

function onMap(vehicles: readonly Vehicle[], spots: Map<string, Spot>): void {
  const longitudes = vehicles.map(({ longitude = 0 }) => longitude);
  const latitudes = vehicles.map(({ latitude = 0 }) => latitude);
  const west = Math.min(...longitudes);
  const east = Math.max(...longitudes);
  const south = Math.min(...latitudes);
  const north = Math.max(...latitudes);
  for (const { id, longitude = 0, latitude = 0 } of vehicles) {
    const x = between(share(longitude, west, east), WIDTH);
    spots.set(id, { x, y: between(1 - share(latitude, south, north), MAP_HEIGHT) });
  }
}

/** Trips to the south (their stops end in S) are on the lower track, from right to left. */
function onLine(vehicles: readonly Vehicle[], y: number, spots: Map<string, Spot>): void {
  const last = Math.max(1, ...vehicles.map(({ sequence }) => sequence));
  for (const { id, stop, sequence } of vehicles) {
    const back = stop.endsWith("S");
    const x = between(back ? 1 - sequence / last : sequence / last, WIDTH);
    spots.set(id, { x, y: back ? y + 10 : y - 10 });
  }
}

/** Places all vehicles. */
export function pictureOf(vehicles: readonly Vehicle[]): Picture {
  const spots = new Map<string, Spot>();
  const placed = vehicles.filter(({ latitude }) => latitude !== undefined);
  onMap(placed, spots);
  const lines = Map.groupBy(vehicles.filter((one) => !placed.includes(one)), ({ route }) => route);
  const top = placed.length > 0 ? MAP_HEIGHT : 0;
  const rows = [...lines.keys()].sort().map((route, index) => (
    { route, y: top + (index + 0.5) * ROW_HEIGHT }
  ));
  for (const { route, y } of rows) onLine(lines.get(route) ?? [], y, spots);
  return { height: top + Math.max(1, rows.length) * ROW_HEIGHT, spots, rows };
}
