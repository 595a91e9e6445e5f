set encoding utf8
set size 1,0.94
set label 1 'It''s 100% {odd}: a_b^c "q" `date` \n $x @y é' at screen 0.5, screen 0.965 center font ',15' textcolor '#202020'
set border 3 linecolor '#606060'
set tics nomirror out scale 0.6,0.3 textcolor '#303030'
set grid ytics back linetype 1 linecolor '#E4E4E4' linewidth 1
set key tmargin center horizontal Left reverse samplen 2.5 spacing 1.25 width 3
set rmargin 4
set bmargin 6
set xlabel '50%_{x} ''y''' textcolor '#202020'
set xrange [-0.6:2.6]
set xtics scale 0 ('a_b 10%%' 0, '{c} ''d''' 1, '%%f \n' 2)
set ylabel '<&> %g, `date`' textcolor '#202020'
set yrange [0:4]
set ytics ('0' 0, '1' 1, '2' 2, '3' 3, '4' 4)
set label 2 'caption_{x} 100% %d ''it'' `date`' at screen 0.5, screen 0.055357143 center font ',10' textcolor '#606060'
set label 3 '"second" line' at screen 0.5, screen 0.025 center font ',10' textcolor '#606060'
$series1 << END
0 1
1 2
2 3
END
$series2 << END
0 3
1 2.5
2 1
END
plot $series1 using 1:2:(0.8) with boxes linecolor rgb '#0072B2' fillstyle solid 0.9 noborder title 'p_q 5% {r}', \
    $series2 using 1:2 with linespoints linecolor rgb '#D55E00' linewidth 2 pointtype 5 pointsize 1.1 pointinterval 1 title 'it''s "s" `t` @u'
