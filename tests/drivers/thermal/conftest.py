import live_player

play = live_player.play
