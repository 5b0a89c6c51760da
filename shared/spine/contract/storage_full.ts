/** The refusal of a write that its storage has no room for: another try changes nothing until there is. */
import { ArqonError } from "@arqon/proto";

/** Has the reason `spine-unavailable`; `detail` says what is full and what helps. */
export class StorageFull extends ArqonError {
  constructor(detail: string, options: { readonly cause?: unknown } = {}) {
    super("spine-unavailable", detail, options);
  }
}
