"""libvirt's client: what one connection can do, what its errors mean, what is learnt on the way."""
