import { segments } from "./invisible";
import classes from "./VisibleText.module.css";

/**
 * Shows text from outside as text: no markup, no reordering of what stands
 * around it, and nothing invisible.
 */
export function VisibleText({ text }: { text: string }) {
  return (
    <bdi className={classes.text}>
      {segments(text).map((segment, index) =>
        segment.kind === "text" ? (
          segment.text
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: the segments of one text never move.
          <mark key={index} className={classes.hidden} title={segment.meaning}>
            ⟨{segment.meaning.startsWith("hidden") ? segment.meaning : segment.codes}⟩
          </mark>
        ),
      )}
    </bdi>
  );
}
