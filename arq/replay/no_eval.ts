/**
 * Keeps the checks of records from making functions of text, which a page's content policy forbids. It is
 * imported before anything that makes such checks, and does nothing else.
 */
import * as z from "zod";

z.config({ jitless: true });
