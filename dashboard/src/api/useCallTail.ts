import { useTransport } from "@connectrpc/connect-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import type { AuditSearch } from "../paths";
import { CallTail } from "./tail";

/** Follows the calls that match a search while the component is mounted. */
export function useCallTail(search: AuditSearch) {
  const transport = useTransport();
  // One tail per mount: the page gives it a key made of the search.
  const [tail, setTail] = useState(() => new CallTail(transport, search));

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new search is a new mount.
  useEffect(() => {
    const running = new CallTail(transport, search);
    setTail(running);
    void running.run();
    return () => running.close();
  }, [transport]);

  const state = useSyncExternalStore(tail.subscribe, tail.snapshot);
  return { ...state, pause: () => tail.pause(), resume: () => tail.resume() };
}
