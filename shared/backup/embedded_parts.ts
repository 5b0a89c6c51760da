/** What the embedded engine keeps as parts of a backup: its two databases, as they stood at one moment. */
import type { SpineBackup } from "../spine/contract/spine.ts";
import type { GivenPart } from "./archive.ts";

/** Where the databases are in the archive; what is known of each stands before it, as `NAME.json`. */
export const DATA_FOLDER = "data";

/** The parts. Who made the backup releases it. */
export function* embeddedParts({ taken_ms, files }: SpineBackup): Generator<GivenPart> {
  for (const { name, size_bytes, sequences, read } of files) {
    const facts = { kind: "database", name, taken_ms, sequences: { ...sequences } } as const;
    const told = new TextEncoder().encode(`${JSON.stringify(facts, undefined, 2)}\n`);
    const path = `${DATA_FOLDER}/${name}`;
    yield {
      facts,
      files: [
        { path: `${path}.json`, size_bytes: told.length, bytes: [told] },
        { path, size_bytes, bytes: read() },
      ],
    };
  }
}
