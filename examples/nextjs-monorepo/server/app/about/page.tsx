import type { Metadata } from 'next'

export const metadata: Metadata = { title: 'About' }

export default function AboutPage() {
  return (
    <>
      <h1>About</h1>
      <p>
        The trails are invented; the arithmetic is not. Ascent, slope and walking time are computed by a WebAssembly module,
        while the site is built and, on the comparison page, in the browser.
      </p>
      <p>
        Walking times follow Tobler’s hiking function: 6 km/h on a gentle descent, and less with every percent of slope away
        from that.
      </p>
    </>
  )
}
