/** The writes of an apply: what it changes is read, whether it is still pending is asked once, then it is written. */
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import { slice } from "../../shared/turns/slices.ts";
import type { ItemWrite, Writing } from "../settings/document_kinds.ts";

/**
 * The writes of an apply. `isPending` reads the whole apply, so it is called once for all items, and once for each
 * conflict. It is called after the items are read: one that was changed after the apply loses its compare-and-set.
 */
export function writingOf(
  apply: Omit<Writing, "change">,
  isPending: () => Promise<boolean>,
): Writing {
  const { tenant_id } = apply;
  return {
    ...apply,
    async change(ids, read) {
      const writes: [id: string, write: NonNullable<ItemWrite>][] = [];
      for (const id of ids) {
        await slice(tenant_id);
        const write = await read(id);
        if (write !== undefined) writes.push([id, write]);
      }
      if (writes.length === 0 || !await isPending()) return;
      for (const [id, first] of writes) {
        await slice(tenant_id);
        let write: ItemWrite = first;
        await changeDocument(async (mayLose) => {
          if (write === undefined) {
            write = await read(id);
            if (write === undefined || !await isPending()) return;
          }
          const now = write;
          write = undefined;
          await mayLose(now());
        });
      }
    },
  };
}
