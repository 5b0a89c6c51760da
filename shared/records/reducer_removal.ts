/**
 * The modules of reducers that are being removed: one document in the bucket `ARQON_REDUCERS`, so that nobody begins to
 * need one meanwhile. A Brain writes it, checks again which modules are needed, then removes them. A Brain that is
 * about to need one records that first, then reads this document. So at least one of the two sees the other. Pure.
 */
import { z } from "zod";
import { requireStored, type StoredAs, storedBytes } from "./stored.ts";

/** The key, which no room has: no tenant has that name. */
export const REMOVAL_KEY = ["*", "modules"] as const;

const Document = z.object({
  /** Grows by one with each removal. */
  number: z.int().min(0),
  /** Hex SHA-256 of each; empty: done. */
  modules: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
});

type ReducerRemoval = StoredAs<typeof Document>;

/** The stored form: JSON. */
export const encodeRemoval: (document: ReducerRemoval) => Uint8Array = storedBytes;

/** Decodes a document; no bytes: nothing was removed yet. Throws for invalid bytes. */
export const decodeRemoval = (bytes: Uint8Array | undefined): ReducerRemoval =>
  bytes === undefined
    ? { number: 0, modules: [] }
    : requireStored(bytes, Document, "removal of modules");
