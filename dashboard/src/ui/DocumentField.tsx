import { Input } from "@mantine/core";
import { type RefObject, useId, useRef } from "react";
import classes from "./DocumentField.module.css";

/** As in DocumentField.module.css, in pixels. */
const lineHeight = 20;
const padding = 8;

interface Props {
  label: string;
  description: string;
  value: string;
  onChange: (value: string) => void;
  /** Lines to mark, from 1, each with whether it is an error. */
  marks: ReadonlyMap<number, boolean>;
  field: RefObject<HTMLTextAreaElement | null>;
}

/** A text of many lines, with their numbers; marked ones stand out. Lines are not wrapped. */
export function DocumentField({ label, description, value, onChange, marks, field }: Props) {
  const id = useId();
  const behind = useRef<HTMLDivElement>(null);
  const lines = value.split("\n").length;
  const follow = (top: number) => {
    if (behind.current !== null) {
      behind.current.style.transform = `translateY(${-top}px)`;
    }
  };
  return (
    <Input.Wrapper
      id={id}
      label={label}
      description={description}
      descriptionProps={{ id: `${id}-description` }}
    >
      <div className={classes.frame}>
        <div ref={behind} className={classes.behind} aria-hidden="true">
          {[...marks].map(([line, error]) => (
            <div
              key={line}
              className={`${classes.mark} ${error ? classes.error : classes.warning}`}
              style={{ top: padding + (line - 1) * lineHeight }}
            />
          ))}
          <pre className={classes.numbers}>
            {Array.from({ length: lines }, (_, index) => index + 1).join("\n")}
          </pre>
        </div>
        <textarea
          id={id}
          ref={field}
          className={classes.text}
          rows={Math.min(Math.max(lines + 1, 12), 32)}
          wrap="off"
          spellCheck={false}
          autoCapitalize="none"
          autoComplete="off"
          aria-describedby={`${id}-description`}
          aria-invalid={[...marks.values()].includes(true)}
          value={value}
          onChange={(event) => onChange(event.currentTarget.value)}
          onScroll={(event) => follow(event.currentTarget.scrollTop)}
        />
      </div>
    </Input.Wrapper>
  );
}

/** Selects a part of the field's text and brings its line into view. */
export function select(
  field: HTMLTextAreaElement | null,
  line: number,
  [start, end]: [number, number],
) {
  field?.focus();
  field?.setSelectionRange(start, end);
  field?.scrollTo({ top: Math.max(line - 4, 0) * lineHeight });
}
