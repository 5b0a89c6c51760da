/**
 * A configuration as texts: its long lists in parts, so that another thread can take it over part by part. To copy
 * 10,000 room classes from thread to thread takes tens of milliseconds at once. Pure.
 */
import { isTable } from "../keys/constants.ts";

/** A configuration without the entries of its long lists; all texts are JSON. */
export interface CutConfig {
  readonly rest: string;
  readonly parts: readonly ListPart[];
}

interface ListPart {
  /** The names of the list, outermost first. */
  readonly path: readonly string[];
  readonly entries: string;
}

/** Entries of one part; lists of at most this length stay where they are. */
const PART_ENTRIES = 64;

type Table = Record<string, unknown>;

/** Cuts a value of tables, lists, texts, numbers and booleans. Lists within lists are not cut. */
export function cut(config: object): CutConfig {
  const parts: ListPart[] = [];
  const shorten = (value: unknown, path: readonly string[]): unknown => {
    if (isTable(value)) {
      const members = Object.entries(value);
      return Object.fromEntries(
        members.map(([name, one]) => [name, shorten(one, [...path, name])]),
      );
    }
    if (!Array.isArray(value) || value.length <= PART_ENTRIES) return value;
    for (let at = 0; at < value.length; at += PART_ENTRIES) {
      parts.push({ path, entries: JSON.stringify(value.slice(at, at + PART_ENTRIES)) });
    }
    return [];
  };
  return { rest: JSON.stringify(shorten(config, [])), parts };
}

/** Puts the value together again, a part in each step; `onWhole` gets it after the last one. */
export function* joining(
  { rest, parts }: CutConfig,
  onWhole: (config: unknown) => void,
): Generator<void> {
  const config: unknown = JSON.parse(rest);
  for (const { path, entries } of parts) {
    yield;
    const list = path.reduce<unknown>((value, name) => (value as Table)[name], config);
    (list as unknown[]).push(...JSON.parse(entries) as unknown[]);
  }
  onWhole(config);
}
