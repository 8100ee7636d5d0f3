/** `3 h 20 min`, in steps of five minutes: a walking time is not known better than that. */
export function formatDuration(hours: number): string {
  const minutes = Math.max(5, Math.round((hours * 60) / 5) * 5)
  const whole = Math.floor(minutes / 60)
  const rest = minutes % 60
  if (whole === 0) return `${rest} min`
  return rest === 0 ? `${whole} h` : `${whole} h ${rest} min`
}
