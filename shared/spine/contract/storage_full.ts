/** The error of a write to full storage: a retry fails until there is room. */
import { ArqonError } from "@arqon/proto";

/** Has the reason `spine-unavailable`; `detail` names what is full and the remedy. */
export class StorageFull extends ArqonError {
  constructor(detail: string, options: { readonly cause?: unknown } = {}) {
    super("spine-unavailable", detail, options);
  }
}
