import Link from 'next/link'

export default function NotFound() {
  return (
    <>
      <h1>No such page</h1>
      <p>
        The <Link href="/trails">list of trails</Link> has all of them.
      </p>
    </>
  )
}
