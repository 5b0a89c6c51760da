/** Strokes in messages. Data of others is checked only here. */
import type { Message } from "@arqon/sdk";

/** A place on the board, in CSS pixels. */
export type Point = readonly [x: number, y: number];

/** A line in one color. */
export interface Stroke {
  readonly color: string;
  readonly points: readonly Point[];
}

const isPoint = (value: unknown): value is Point =>
  Array.isArray(value) && value.length === 2 && value.every(Number.isFinite);

/** The stroke of a message; undefined if the data is not a stroke. */
export function readStroke(message: Message): Stroke | undefined {
  if (message.signal || message.content_type !== "application/json") return undefined;
  const { color, points } = Object(message.json()) as Partial<Record<keyof Stroke, unknown>>;
  if (typeof color !== "string" || !/^#[0-9a-f]{6}$/.test(color)) return undefined;
  if (!Array.isArray(points) || !points.every(isPoint)) return undefined;
  return { color, points };
}
